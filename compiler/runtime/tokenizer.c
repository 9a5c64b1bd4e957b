/* A text is cut at the vocabulary's literal tokens ([SEP] and the like), then mapped character by character to what the tokenizer makes of
   it (small letters without accents, spaces, nothing) and to how it separates words, then each word is cut into the longest pieces that the
   vocabulary has, from its start on. What a character becomes was asked of the original tokenizer when the file was written. */
#include "tokenizer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE_CHARACTERS = 256, PAGES = 0x110000 / PAGE_CHARACTERS, MAGIC_BYTES = 8, WORD_BYTES = 1024 };
/* What a character becomes: itself within a word, nothing, a space, itself as a word of its own, or, from MAPPED on, `units` from
   there to one that is END. A unit is a character, with ALONE set where it is a word of its own, and SPACE for a space. */
enum { ITSELF, NOTHING, A_SPACE, ITSELF_ALONE, MAPPED };
static const uint32_t END = 0xffffffffu, SPACE = 0xfffffffeu, ALONE = 0x80000000u, REPLACEMENT = 0xfffd;
static const char MAGIC[MAGIC_BYTES] = "PFTOK01";

typedef struct {
    char magic[MAGIC_BYTES];
    uint32_t bytes; /* of the file */
    int32_t unknown, first, separator;
    uint32_t longest_word;            /* characters; longer ones are unknown */
    uint32_t longest_piece;           /* bytes */
    uint32_t slots;                   /* a power of two */
    uint32_t literals;                /* tokens that are found in the text as they are, the longest first */
    uint32_t pages_at, entries_at, units_at, slots_at, pieces_at, literals_at; /* bytes from the start */
} file_header;

/* A place of the vocabulary's hash table; `length` 0 where it is empty. Pieces that go on a word are marked. */
typedef struct {
    uint32_t text_at; /* from pieces_at */
    uint16_t length, goes_on;
    int32_t id;
} slot;

struct pf_tokenizer {
    const file_header *header;
    size_t mapped_bytes; /* 0 where the file's content is somebody else's */
    const uint16_t *pages;
    const uint32_t *entries, *units;
    const slot *slots;
    const char *pieces;
    const slot *literals;
};

/* Token ids as they come, in memory that grows. */
typedef struct {
    int32_t *ids;
    int count, room, failed;
} token_list;

typedef struct {
    char text[WORD_BYTES];
    uint32_t bytes, characters;
    int too_long;
} word;

static void add(token_list *list, int32_t id) {
    if (list->count == list->room) {
        int room = list->room ? 2 * list->room : 64;
        int32_t *ids = realloc(list->ids, (size_t)room * sizeof *ids);
        if (!ids) {
            list->failed = 1;
            return;
        }
        list->ids = ids, list->room = room;
    }
    list->ids[list->count++] = id;
}

/* FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), begun anew for pieces that go on a word. */
static int32_t find(const pf_tokenizer *tokenizer, const char *text, uint32_t length, int goes_on) {
    uint32_t hash = goes_on ? 2166136261u ^ 1 : 2166136261u;
    for (uint32_t index = 0; index < length; index++) hash = (hash ^ (uint8_t)text[index]) * 16777619u;
    for (uint32_t mask = tokenizer->header->slots - 1, at = hash & mask;; at = (at + 1) & mask) {
        const slot *candidate = &tokenizer->slots[at];
        if (!candidate->length) return -1;
        if (candidate->length == length && candidate->goes_on == goes_on && !memcmp(tokenizer->pieces + candidate->text_at, text, length))
            return candidate->id;
    }
}

/* The word's pieces, or the unknown token for all of it. */
static void end_word(const pf_tokenizer *tokenizer, word *word, token_list *tokens) {
    if (!word->characters) return;
    int before = tokens->count, known = !word->too_long && word->characters <= tokenizer->header->longest_word;
    for (uint32_t start = 0; known && start < word->bytes;) {
        uint32_t length = word->bytes - start;
        if (length > tokenizer->header->longest_piece) length = tokenizer->header->longest_piece;
        int32_t id = -1;
        for (; length; length--) {
            if (start + length < word->bytes && (word->text[start + length] & 0xc0) == 0x80) continue; /* within a character */
            if ((id = find(tokenizer, word->text + start, length, start > 0)) >= 0) break;
        }
        known = id >= 0;
        if (known) add(tokens, id);
        start += length;
    }
    if (!known) {
        tokens->count = before;
        add(tokens, tokenizer->header->unknown);
    }
    word->bytes = word->characters = 0, word->too_long = 0;
}

static void append(word *word, uint32_t character) {
    char bytes[4];
    uint32_t length = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (uint32_t index = length; index-- > 1; character >>= 6) bytes[index] = (char)(0x80 | (character & 0x3f));
    bytes[0] = (char)(length == 1 ? character : (0xf00 >> length & 0xff) | character);
    word->characters++;
    if (word->bytes + length > WORD_BYTES) word->too_long = 1;
    if (word->too_long) return;
    memcpy(word->text + word->bytes, bytes, length);
    word->bytes += length;
}

static void take_alone(const pf_tokenizer *tokenizer, word *word, token_list *tokens, uint32_t character) {
    end_word(tokenizer, word, tokens);
    append(word, character);
    end_word(tokenizer, word, tokens);
}

static void take(const pf_tokenizer *tokenizer, word *word, token_list *tokens, uint32_t character) {
    uint32_t entry = tokenizer->entries[tokenizer->pages[character / PAGE_CHARACTERS] * PAGE_CHARACTERS + character % PAGE_CHARACTERS];
    if (entry == ITSELF) append(word, character);
    else if (entry == A_SPACE) end_word(tokenizer, word, tokens);
    else if (entry == ITSELF_ALONE) take_alone(tokenizer, word, tokens, character);
    else if (entry >= MAPPED)
        for (const uint32_t *unit = tokenizer->units + (entry - MAPPED); *unit != END; unit++) {
            if (*unit == SPACE) end_word(tokenizer, word, tokens);
            else if (*unit & ALONE) take_alone(tokenizer, word, tokens, *unit & ~ALONE);
            else append(word, *unit);
        }
}

/* The next character, and past it; what is no UTF-8 is a replacement character a byte. */
static uint32_t next_character(const char **at) {
    const unsigned char *text = (const unsigned char *)*at;
    uint32_t length = *text < 0x80 ? 1 : *text < 0xc2 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : *text < 0xf5 ? 4 : 0;
    uint32_t character = length == 1 ? *text : *text & (0x7fu >> length);
    for (uint32_t index = 1; index < length; index++) {
        if ((text[index] & 0xc0) != 0x80) length = 0;
        else character = character << 6 | (text[index] & 0x3fu);
    }
    int overlong = (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
    if (!length || overlong || character > 0x10ffff || (character >= 0xd800 && character < 0xe000)) {
        *at += 1;
        return REPLACEMENT;
    }
    *at += length;
    return character;
}

static const slot *literal_at(const pf_tokenizer *tokenizer, const char *text) {
    for (uint32_t index = 0; index < tokenizer->header->literals; index++) {
        const slot *literal = &tokenizer->literals[index];
        if (!strncmp(text, tokenizer->pieces + literal->text_at, literal->length)) return literal;
    }
    return 0;
}

static void tokenize(const pf_tokenizer *tokenizer, const char *text, token_list *tokens) {
    word word = {.bytes = 0};
    while (*text) {
        const slot *literal = literal_at(tokenizer, text);
        if (literal) {
            end_word(tokenizer, &word, tokens);
            add(tokens, literal->id);
            text += literal->length;
        } else {
            take(tokenizer, &word, tokens, next_character(&text));
        }
    }
    end_word(tokenizer, &word, tokens);
}

/* How many tokens each of two texts may keep, as Hugging Face's "longest first" has it. */
static void share(int *first, int *second, int room) {
    int swapped = *first > *second, low = swapped ? *second : *first, high = swapped ? *first : *second;
    if (low > room) high = low;
    else high = low > room - low ? low : room - low;
    if (low + high > room) low = room / 2, high = low + room % 2;
    if (*first > (swapped ? high : low)) *first = swapped ? high : low;
    if (*second > (swapped ? low : high)) *second = swapped ? low : high;
}

static int put(int32_t *ids, int32_t *types, int at, const int32_t *tokens, int count, int type) {
    for (int index = 0; index < count; index++, at++) ids[at] = tokens[index], types[at] = type;
    return at;
}

int pf_tokenizer_encode(pf_tokenizer *tokenizer, const char *text, const char *pair, int32_t *ids, int32_t *types, int limit) {
    token_list first = {0}, second = {0};
    int count = -1, room = limit - (pair ? 3 : 2);
    if (room >= 0) {
        tokenize(tokenizer, text, &first);
        if (pair) tokenize(tokenizer, pair, &second);
        if (!first.failed && !second.failed) {
            if (first.count + second.count > room) {
                if (pair) share(&first.count, &second.count, room);
                else first.count = room;
            }
            count = put(ids, types, 0, &tokenizer->header->first, 1, 0);
            count = put(ids, types, count, first.ids, first.count, 0);
            count = put(ids, types, count, &tokenizer->header->separator, 1, 0);
            if (pair) {
                count = put(ids, types, count, second.ids, second.count, 1);
                count = put(ids, types, count, &tokenizer->header->separator, 1, 1);
            }
        }
    }
    free(first.ids), free(second.ids);
    return count;
}

pf_tokenizer *pf_tokenizer_of(const void *data, size_t bytes, const char **why) {
    const file_header *header = data;
    *why = "it is no tokenizer of this version, or not whole";
    if (bytes < sizeof *header || memcmp(header->magic, MAGIC, sizeof MAGIC) || header->bytes != bytes) return 0;
    *why = "out of memory";
    pf_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) return 0;
    const char *start = data;
    *tokenizer = (pf_tokenizer){header,
                                0,
                                (const uint16_t *)(start + header->pages_at),
                                (const uint32_t *)(start + header->entries_at),
                                (const uint32_t *)(start + header->units_at),
                                (const slot *)(start + header->slots_at),
                                start + header->pieces_at,
                                (const slot *)(start + header->literals_at)};
    return tokenizer;
}

pf_tokenizer *pf_tokenizer_open(const char *path, const char **why) {
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    void *data = MAP_FAILED;
    *why = "cannot open it";
    if (file >= 0 && !fstat(file, &status) && status.st_size > 0)
        data = mmap(0, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (file >= 0) close(file);
    if (data == MAP_FAILED) return 0;
    pf_tokenizer *tokenizer = pf_tokenizer_of(data, (size_t)status.st_size, why);
    if (tokenizer) tokenizer->mapped_bytes = (size_t)status.st_size;
    else munmap(data, (size_t)status.st_size);
    return tokenizer;
}

void pf_tokenizer_close(pf_tokenizer *tokenizer) {
    if (!tokenizer) return;
    if (tokenizer->mapped_bytes) munmap((void *)tokenizer->header, tokenizer->mapped_bytes);
    free(tokenizer);
}
