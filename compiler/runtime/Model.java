package io.pocketformer;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/**
 * A compiled Pocketformer model: text in, scores out.
 *
 * <p>Loading takes time and memory, so do it once and off the main thread, and {@link #close} the model when it is no longer needed. Its
 * methods may be called from any thread; calls wait for each other, as one text is answered at a time. A process holds the code of one
 * model.
 */
public final class Model implements AutoCloseable {
    private long opened; // 0 once closed

    private Model(long opened) throws IOException {
        if (opened == 0) throw new IOException(message());
        this.opened = opened;
    }

    /**
     * Loads the model that came in the app's .aar.
     *
     * @param threads that a text's computation is shared by, 1 to 64: as many as the phone has fast cores, or fewer
     * @return the model, to be closed
     * @throws IOException no library for this device's processor, or not enough memory or threads
     */
    public static Model load(int threads) throws IOException {
        try {
            System.loadLibrary("pocketformer");
            System.loadLibrary("pocketformer_weights");
            return new Model(openPacked(packed(), threads));
        } catch (UnsatisfiedLinkError error) {
            throw noLibrary(error);
        }
    }

    /**
     * Loads a model from files: an unpacked bundle, or its weights and tokenizer alone where the app brings the library.
     *
     * @param folder with {@code weights.bin}, {@code tokenizer/tokenizer.bin} and, where the app has no other, {@code libpocketformer.so}
     * @param threads that a text's computation is shared by, 1 to 64
     * @return the model, to be closed
     * @throws IOException a file is missing, damaged or of another model, or there is not enough memory or threads
     */
    public static Model load(File folder, int threads) throws IOException {
        if (!folder.isDirectory()) throw new FileNotFoundException(folder + " is not a folder; give that of an unpacked bundle");
        File library = new File(folder, "libpocketformer.so");
        try {
            if (library.exists()) System.load(library.getAbsolutePath());
            else System.loadLibrary("pocketformer");
            return new Model(openFiles(path(folder, "weights.bin"), path(folder, "tokenizer/tokenizer.bin"), threads));
        } catch (UnsatisfiedLinkError error) {
            throw noLibrary(error);
        }
    }

    /**
     * The model's answer to a text.
     *
     * @param text of any length: what is longer than the model takes is cut, and fewer words take less time
     * @return one number a label, before any softmax, in the order of {@code task.label_names} in the bundle's model.json; the one value of a
     *     regression; or, of a model without a task, an embedding
     * @throws IllegalStateException the model is closed, or the tokenizer is not its own
     */
    public float[] run(String text) {
        return run(utf8(text), null);
    }

    /**
     * The model's answer to two texts, for tasks on pairs.
     *
     * @param text the first
     * @param pair the second; of texts that are too long together, the longer one is cut first
     * @return as {@link #run(String)}
     * @throws IllegalStateException as {@link #run(String)}
     */
    public float[] run(String text, String pair) {
        return run(utf8(text), utf8(pair));
    }

    /** Gives back the model's memory and threads. Closing it again does nothing. */
    @Override
    public synchronized void close() {
        if (opened != 0) release(opened);
        opened = 0;
    }

    private synchronized float[] run(byte[] text, byte[] pair) {
        if (opened == 0) throw new IllegalStateException("the model is closed");
        float[] scores = answer(opened, text, pair);
        if (scores == null) throw new IllegalStateException(message());
        return scores;
    }

    /** As C takes it, where a text ends at its first NUL: that becomes another control character, which a tokenizer drops as well. */
    private static byte[] utf8(String text) {
        return text.replace('\0', '\1').getBytes(StandardCharsets.UTF_8);
    }

    private static byte[] path(File folder, String name) {
        return new File(folder, name).getPath().getBytes(StandardCharsets.UTF_8);
    }

    private static IOException noLibrary(UnsatisfiedLinkError error) {
        return new IOException("no Pocketformer library for this device: " + error.getMessage(), error);
    }

    private static String message() {
        return new String(error(), StandardCharsets.UTF_8);
    }

    private static native long packed();

    private static native long openPacked(long packed, int threads);

    private static native long openFiles(byte[] weights, byte[] tokenizer, int threads);

    private static native float[] answer(long opened, byte[] text, byte[] pair);

    private static native byte[] error();

    private static native void release(long opened);
}
