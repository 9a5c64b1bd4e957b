import io.pocketformer.Model;

import java.io.File;

/** Loads each of the folders in turn, then misuses the first one's model, and says what each mistake throws. */
public final class Mistakes {
    private interface Work {
        void run() throws Exception;
    }

    public static void main(String[] folders) throws Exception {
        for (String folder : folders) say("load " + new File(folder).getName(), () -> Model.load(new File(folder), 2).close());
        Model model = Model.load(new File(folders[0]), 1);
        say("text null", () -> model.run(null));
        say("pair null", () -> model.run("text", null));
        say("folder null", () -> Model.load(null, 1));
        say("text", () -> model.run("still answers"));
        model.close();
        model.close();
        say("closed", () -> model.run("text"));
        say("own weights", () -> Model.load(1));
    }

    private static void say(String what, Work work) {
        try {
            work.run();
            System.out.println(what + ": done");
        } catch (Exception error) {
            System.out.println(what + ": " + error.getClass().getSimpleName() + ": " + error.getMessage());
        }
    }
}
