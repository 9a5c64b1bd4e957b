import io.pocketformer.Model;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Base64;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** As an app does: loads a model, of a folder or its own, and answers each line's text, or two, in base64 of UTF-16: a line of numbers each. */
public final class Answers {
    public static void main(String[] words) throws Exception {
        String[][] texts = new BufferedReader(new InputStreamReader(System.in)).lines()
                .map(line -> Stream.of(line.split(",", -1)).map(Answers::text).toArray(String[]::new))
                .toArray(String[][]::new);
        try (Model model = words.length > 0 ? Model.load(new File(words[0]), 2) : Model.load(2)) {
            float[][] answers = Stream.of(texts).map(each -> answer(model, each)).toArray(float[][]::new);
            float[][] again = IntStream.range(0, texts.length).parallel().mapToObj(row -> answer(model, texts[row])).toArray(float[][]::new);
            if (!Arrays.deepEquals(answers, again)) throw new AssertionError("several threads at once got other answers");
            for (float[] answer : answers)
                System.out.println(IntStream.range(0, answer.length).mapToObj(at -> "" + answer[at]).collect(Collectors.joining(" ")));
        }
    }

    private static float[] answer(Model model, String[] texts) {
        return texts.length == 1 ? model.run(texts[0]) : model.run(texts[0], texts[1]);
    }

    private static String text(String line) {
        return ByteBuffer.wrap(Base64.getDecoder().decode(line)).asCharBuffer().toString();
    }
}
