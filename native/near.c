/* Searching a list of perceptual values within a Hamming distance, without arrays of all that is looked at.
 *
 * These are `_probed` and `_scan` of `scanner.index.perceptual` once more, and `_renumbered` of
 * `scanner.index.moving`, with the same answers: there and in `scanner.index.shapes` it is written down why they
 * find everything, and tests compare the two. The lists lie
 * in mapped files that may be damaged or changed meanwhile: no number out of them is used before it was
 * compared with the end of what it leads into. The stable interface of Python 3.11 is all that is used.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the numbers of a list are little-endian; Python reads them here"
#endif

#define BITS 256       /* of a hash that has tables */
#define HASH 32        /* bytes of it */
#define SLOTS BITS     /* at most: of one bit each */
#define RADII 3        /* of a slot at most: 0, 1, 2 */
#define WIDEST 24      /* bits of a slot at most */
#define MOST_VALUES 64 /* in a call */
#define FOUND 4096     /* rows within the distance that are kept for a value; twice as many for a moment */
#define WAITING 2048   /* rows that are fetched before they are measured */
#define SIFTED 512     /* numbers of which the checks are looked at together */
#define AT_ONCE 4      /* numbers of a bucket */
#define AHEAD 32       /* new numbers that are fetched before they are needed */
#define GONE UINT32_MAX /* a row's new number where it has none */
#define PAIRS 65536    /* answers of a scan's call at most, but for those of the last block */
#define BLOCK 256      /* rows that a scan measures against one value after another */

/* Instances of the same code for processors that count the bits of a word at once, and for all others. */
#if defined(__x86_64__)
#define EACH_PROCESSOR(define)                                                                                 \
    define(plain, ) define(counting, __attribute__((target("popcnt"))))
#define CHOSEN(name) (__builtin_cpu_supports("popcnt") ? name##_counting : name##_plain)
#else
#define EACH_PROCESSOR(define) define(plain, )
#define CHOSEN(name) name##_plain
#endif
#define INLINED static inline __attribute__((always_inline))

struct pair {
    uint32_t row;
    uint16_t bits, asked; /* asked: place of the value */
};

struct pairs {
    struct pair *at;
    size_t length, room;
};

/* Rows of a bucket that are to be looked at. */
struct run {
    uint32_t low, length;
};

struct tables {
    const unsigned char *hashes, *order, *starts;
    size_t count;
    unsigned slots, bucket_bits, check_bits, radii, flips;
    size_t ends[RADII + 1]; /* of the flips of 0, 1, 2 bits */
    unsigned char widths[SLOTS], positions[BITS];
};

struct question {
    const struct tables *tables;
    const unsigned char *values;
    size_t count, most;
    long distance;
    uint32_t *flips;   /* (flips) what to XOR a bucket with */
    struct run *runs;  /* (slots, values, flips) */
    struct pair *near; /* (values, 2 * FOUND) */
    uint32_t keys[MOST_VALUES][SLOTS];
    size_t rows[MOST_VALUES][SLOTS][RADII];      /* that differ in 0, 1, 2 bits of a slot's bucket */
    unsigned char kept[MOST_VALUES][SLOTS];      /* of these how many are looked at */
    size_t nears[MOST_VALUES];                   /* in near */
    unsigned char crowded[MOST_VALUES];          /* left to a scan */
    uint32_t waiting[WAITING];                   /* rows that are to be measured, */
    unsigned char asked[WAITING];                /* and for which value */
    size_t waits;
    struct pairs found;
    enum { FINE, NO_MEMORY, DAMAGED } failure;
};

INLINED uint32_t number(const unsigned char *column, size_t at) {
    uint32_t read;
    memcpy(&read, column + 4 * at, 4);
    return read;
}

INLINED uint64_t word(const unsigned char *hash, size_t at) {
    uint64_t read;
    memcpy(&read, hash + 8 * at, 8);
    return read;
}

/* A hash's bits that differ, or, once it is known to be too far, as many as were seen until then. */
INLINED int apart(const unsigned char *hash, const unsigned char *value, size_t size, long distance) {
    int bits = 0;
    size_t byte = 0;
    for (; byte + 16 <= size && bits <= distance; byte += 16)
        bits += __builtin_popcountll(word(hash + byte, 0) ^ word(value + byte, 0))
                + __builtin_popcountll(word(hash + byte, 1) ^ word(value + byte, 1));
    for (; byte + 8 <= size && bits <= distance; byte += 8)
        bits += __builtin_popcountll(word(hash + byte, 0) ^ word(value + byte, 0));
    for (; byte < size && bits <= distance; byte++)
        bits += __builtin_popcount((unsigned)(hash[byte] ^ value[byte]));
    return bits;
}

static int put(struct pairs *pairs, const struct pair *more, size_t count) {
    if (pairs->length + count > pairs->room) {
        size_t room = pairs->room ? 2 * pairs->room : 64;
        while (room < pairs->length + count)
            room *= 2;
        struct pair *at = realloc(pairs->at, room * sizeof *at);
        if (!at)
            return 0;
        pairs->at = at;
        pairs->room = room;
    }
    memcpy(pairs->at + pairs->length, more, count * sizeof *more);
    pairs->length += count;
    return 1;
}

static int by_row(const void *left, const void *right) {
    uint32_t a = ((const struct pair *)left)->row, b = ((const struct pair *)right)->row;
    return (a > b) - (a < b);
}

/* Without repeated rows: one turns up once for each slot that it shares with the value. */
static size_t once(struct pair *pairs, size_t count) {
    size_t kept = 0;
    if (count < 2)
        return count;
    qsort(pairs, count, sizeof *pairs, by_row);
    for (size_t i = 0; i < count; i++)
        if (!kept || pairs[i].row != pairs[kept - 1].row)
            pairs[kept++] = pairs[i];
    return kept;
}

static uint32_t key_of(const unsigned char *hash, const unsigned char *positions, unsigned width) {
    uint32_t key = 0;
    for (unsigned bit = 0; bit < width; bit++)
        key = key << 1 | (hash[positions[bit] / 8] >> (7 - positions[bit] % 8) & 1U);
    return key;
}

/* As `Probes`: the bits in which buckets may differ, fewer first. */
static void fill_flips(struct question *q) {
    size_t at = 0;
    q->flips[at++] = 0;
    for (unsigned i = 0; q->tables->radii > 1 && i < q->tables->bucket_bits; i++)
        q->flips[at++] = (uint32_t)1 << i;
    /* Ascending, so that buckets beside each other are looked at one after another. */
    for (unsigned i = 0; q->tables->radii > 2 && i < q->tables->bucket_bits; i++)
        for (unsigned j = 0; j < i; j++)
            q->flips[at++] = (uint32_t)1 << i | (uint32_t)1 << j;
}

/* Where the rows of the buckets of a slot are. */
static void look_up(struct question *q, unsigned slot, size_t asked) {
    const struct tables *t = q->tables;
    const unsigned char *starts = t->starts + 4 * slot * (((size_t)1 << t->bucket_bits) + 1);
    const uint32_t bucket = q->keys[asked][slot] >> (t->widths[slot] - t->bucket_bits);
    struct run *run = q->runs + (slot * q->count + asked) * t->flips;
    size_t flip = 0;
    for (unsigned shell = 0; shell < t->radii; shell++) {
        size_t rows = 0;
        for (; flip < t->ends[shell]; flip++, run++) {
            size_t at = bucket ^ q->flips[flip];
            uint32_t low = number(starts, at), high = number(starts, at + 1);
            if (low > high || high > t->count) {
                q->failure = DAMAGED;
                return;
            }
            run->low = low;
            run->length = high - low;
            rows += run->length;
        }
        q->rows[asked][slot][shell] = rows;
    }
}

/* As `_leave_out`: how much of each slot has to be looked at, of crowded ones less. Returns how many rows. */
static size_t leave_out(struct question *q, size_t asked) {
    const struct tables *t = q->tables;
    unsigned char *kept = q->kept[asked];
    size_t total = 0;
    for (unsigned slot = 0; slot < t->slots; slot++) {
        kept[slot] = (unsigned char)t->radii;
        for (unsigned shell = 0; shell < t->radii; shell++)
            total += q->rows[asked][slot][shell];
    }
    for (long spare = (long)(t->slots * t->radii) - (q->distance + 1); spare > 0; spare--) {
        unsigned worst = 0;
        size_t most = 0;
        for (unsigned slot = 0; slot < t->slots; slot++) {
            /* A slot's radius shrinks from without, so no shell may seem smaller than one within it. */
            size_t crowd = 0;
            for (unsigned shell = 0; shell < kept[slot]; shell++)
                if (q->rows[asked][slot][shell] > crowd)
                    crowd = q->rows[asked][slot][shell];
            if (kept[slot] && (!kept[worst] || crowd > most)) {
                worst = slot;
                most = crowd;
            }
        }
        total -= q->rows[asked][worst][--kept[worst]];
    }
    return total;
}

/* Inlined, for compilers leave out calls of functions that only fetch. */
INLINED void fetch(const struct question *q, unsigned slot, size_t asked) {
    const struct tables *t = q->tables;
    const struct run *run = q->runs + (slot * q->count + asked) * t->flips;
    const unsigned char *order = t->order + 4 * slot * t->count;
    for (size_t left = t->ends[q->kept[asked][slot] - 1]; left; left--, run++) {
        __builtin_prefetch(order + 4 * (size_t)run->low);
        __builtin_prefetch(order + 4 * ((size_t)run->low + run->length)); /* one in twenty ends in the next line */
    }
}

static void keep(struct question *q, size_t asked, uint32_t row, int bits) {
    struct pair *near = q->near + asked * 2 * FOUND, pair = {row, (uint16_t)bits, (uint16_t)asked};
    near[q->nears[asked]++] = pair;
    if (q->nears[asked] == 2 * FOUND) {
        q->nears[asked] = once(near, 2 * FOUND);
        q->crowded[asked] = q->nears[asked] > FOUND;
    }
}

/* Fetches and measures the rows that wait. */
INLINED void measure(struct question *q) {
    for (size_t i = 0; i < q->waits; i++) {
        if (q->waiting[i] >= q->tables->count) {
            q->failure = DAMAGED;
            return;
        }
        __builtin_prefetch(q->tables->hashes + HASH * (size_t)q->waiting[i]);
    }
    for (size_t i = 0; i < q->waits; i++) {
        const unsigned char *hash = q->tables->hashes + HASH * (size_t)q->waiting[i];
        const unsigned char *value = q->values + HASH * (size_t)q->asked[i];
        int bits = apart(hash, value, HASH, q->distance);
        if (bits <= q->distance && !q->crowded[q->asked[i]])
            keep(q, q->asked[i], q->waiting[i], bits);
    }
    q->waits = 0;
}

/* Those of some numbers wait whose check is right. Without a branch, for which ones can't be foreseen. */
INLINED void sift(struct question *q, const uint32_t *numbers, size_t count, size_t asked, uint32_t expected, int left) {
    const unsigned bits = q->tables->check_bits;
    const uint32_t mask = ((uint32_t)1 << bits) - 1;
    if (q->waits + count > WAITING)
        measure(q);
    if (q->failure != FINE)
        return;
    uint32_t *waiting = q->waiting + q->waits;
    size_t waits = 0;
    for (size_t i = 0; i < count; i++) {
        waiting[waits] = numbers[i] >> bits;
        waits += __builtin_popcount((numbers[i] ^ expected) & mask) <= left;
    }
    memset(q->asked + q->waits, (int)asked, waits);
    q->waits += waits;
}

/* The rows in the buckets of a slot wait to be measured, by their checks. */
INLINED void gather(struct question *q, unsigned slot, size_t asked) {
    const struct tables *t = q->tables;
    const unsigned char *order = t->order + 4 * slot * t->count;
    const struct run *run = q->runs + (slot * q->count + asked) * t->flips;
    const uint32_t expected = q->keys[asked][slot] & (((uint32_t)1 << (t->widths[slot] - t->bucket_bits)) - 1);
    const size_t there = (t->slots - slot) * t->count; /* numbers from here to the end of all slots */
    uint32_t numbers[SIFTED + AT_ONCE];
    size_t flip = 0;
    for (unsigned shell = 0; shell < q->kept[asked][slot]; shell++) {
        const int left = (int)(t->radii - 1 - shell);
        size_t count = 0;
        for (; flip < t->ends[shell]; flip++, run++) {
            size_t at = run->low, end = at + run->length;
            /* Most buckets have no more: to take so many in any case is faster than to ask how many there are. */
            if (at + AT_ONCE <= there) {
                memcpy(numbers + count, order + 4 * at, 4 * AT_ONCE);
                count += run->length < AT_ONCE ? run->length : AT_ONCE;
                at += AT_ONCE;
            }
            for (; at < end; at++) {
                numbers[count++] = number(order, at);
                if (count >= SIFTED) {
                    sift(q, numbers, count, asked, expected, left);
                    count = 0;
                    if (q->failure != FINE || q->crowded[asked])
                        return;
                }
            }
            if (count >= SIFTED) {
                sift(q, numbers, count, asked, expected, left);
                count = 0;
            }
        }
        sift(q, numbers, count, asked, expected, left);
        if (q->failure != FINE)
            return;
    }
}

/* Slot by slot for all values: a slot's tables lie on fewer pages than the addresses of which are at hand. */
INLINED void probe_all(struct question *q) {
    const struct tables *t = q->tables;
    const unsigned char *positions = t->positions;
    for (unsigned slot = 0; slot < t->slots; positions += t->widths[slot++])
        for (size_t asked = 0; asked < q->count; asked++) {
            q->keys[asked][slot] = key_of(q->values + HASH * asked, positions, t->widths[slot]);
            look_up(q, slot, asked);
            if (q->failure != FINE)
                return;
        }
    for (size_t asked = 0; asked < q->count; asked++)
        q->crowded[asked] = leave_out(q, asked) > q->most;
    for (unsigned slot = 0; slot < t->slots; slot++) {
        for (size_t asked = 0; asked < q->count; asked++)
            if (!q->crowded[asked] && q->kept[asked][slot])
                fetch(q, slot, asked);
        for (size_t asked = 0; asked < q->count && q->failure == FINE; asked++)
            if (!q->crowded[asked])
                gather(q, slot, asked);
    }
    if (q->failure == FINE)
        measure(q);
}

/* What was found of all values but those that are crowded. */
static void collect(struct question *q) {
    for (size_t asked = 0; asked < q->count && q->failure == FINE; asked++) {
        struct pair *near = q->near + asked * 2 * FOUND;
        size_t kept = q->crowded[asked] ? 0 : once(near, q->nears[asked]);
        q->crowded[asked] |= kept > FOUND;
        if (kept && !q->crowded[asked] && !put(&q->found, near, kept))
            q->failure = NO_MEMORY;
    }
}

#define PROBES(name, target)                                                                                   \
    target static void probe_##name(struct question *q) {                                                      \
        probe_all(q);                                                                                          \
    }
EACH_PROCESSOR(PROBES)

/* Takes the shape apart, as `pack_shape` packs it; 0 and an exception where the sections don't fit it. */
static int read_tables(struct tables *t, Py_buffer *hashes, Py_buffer *order, Py_buffer *starts, Py_buffer *shape,
                       Py_buffer *positions) {
    const unsigned char *packed = shape->buf;
    unsigned total = 0, least = WIDEST, widest = 0;
    t->slots = shape->len < 2 || shape->len > 1 + SLOTS ? 0 : (unsigned)shape->len - 1;
    for (unsigned slot = 0; slot < t->slots; slot++) {
        t->widths[slot] = packed[1 + slot];
        total += packed[1 + slot];
        least = packed[1 + slot] < least ? packed[1 + slot] : least;
        widest = packed[1 + slot] > widest ? packed[1 + slot] : widest;
    }
    t->bucket_bits = t->slots ? packed[0] : 0;
    t->radii = t->slots ? (BITS / 8 + t->slots - 1) / t->slots : 0;
    if (total != BITS || widest > WIDEST || t->bucket_bits < 1 || t->bucket_bits > least || t->radii > RADII
        || positions->len != BITS) {
        PyErr_SetString(PyExc_ValueError, "a slot table has an impossible shape");
        return 0;
    }
    t->check_bits = widest - t->bucket_bits;
    t->ends[0] = 1;
    t->ends[1] = 1 + t->bucket_bits;
    t->ends[2] = t->ends[1] + t->bucket_bits * (t->bucket_bits - 1) / 2;
    t->flips = (unsigned)t->ends[t->radii - 1];
    memcpy(t->positions, positions->buf, BITS);
    t->hashes = hashes->buf;
    t->order = order->buf;
    t->starts = starts->buf;
    t->count = (size_t)hashes->len / HASH;
    if (hashes->len % HASH || (uint64_t)t->count > UINT32_MAX
        || (uint64_t)order->len != (uint64_t)4 * t->slots * t->count
        || (uint64_t)starts->len != (uint64_t)4 * t->slots * (((uint64_t)1 << t->bucket_bits) + 1)) {
        PyErr_SetString(PyExc_ValueError, "a slot table has the wrong length");
        return 0;
    }
    return 1;
}

static PyObject *answered(struct question *q) {
    PyObject *crowded, *made = NULL;
    if (q->failure == NO_MEMORY)
        return PyErr_NoMemory();
    if (q->failure == DAMAGED) {
        PyErr_SetString(PyExc_IndexError, "a slot table leads out of itself");
        return NULL;
    }
    crowded = PyList_New(0);
    for (size_t asked = 0; crowded && asked < q->count; asked++)
        if (q->crowded[asked]) {
            PyObject *place = PyLong_FromSize_t(asked);
            if (!place || PyList_Append(crowded, place) < 0)
                Py_CLEAR(crowded);
            Py_XDECREF(place);
        }
    if (crowded)
        made = Py_BuildValue("(y#O)", q->found.at ? (char *)q->found.at : "",
                             (Py_ssize_t)(q->found.length * sizeof(struct pair)), crowded);
    Py_XDECREF(crowded);
    return made;
}

static PyObject *ask(struct tables *t, Py_buffer *values, long distance, Py_ssize_t most) {
    struct question *q;
    PyObject *made;
    if (values->len % HASH || values->len > MOST_VALUES * HASH || distance < 0 || distance >= BITS / 8 || most < 0) {
        PyErr_SetString(PyExc_ValueError, "at most 64 values of 32 bytes are looked up, within 0 to 31 bits");
        return NULL;
    }
    q = malloc(sizeof *q + sizeof(uint32_t) * t->flips);
    if (!q)
        return PyErr_NoMemory();
    q->failure = FINE;
    q->waits = 0;
    memset(&q->found, 0, sizeof q->found);
    memset(q->nears, 0, sizeof q->nears);
    q->tables = t;
    q->values = values->buf;
    q->count = (size_t)values->len / HASH;
    q->most = (size_t)most;
    q->distance = distance;
    q->flips = (uint32_t *)(q + 1);
    q->runs = malloc(sizeof *q->runs * t->slots * t->flips * (q->count + 1));
    q->near = malloc(sizeof *q->near * 2 * FOUND * (q->count + 1));
    if (q->runs && q->near) {
        fill_flips(q);
        Py_BEGIN_ALLOW_THREADS
        CHOSEN(probe)(q);
        collect(q);
        Py_END_ALLOW_THREADS
    } else {
        q->failure = NO_MEMORY;
    }
    made = answered(q);
    free(q->found.at);
    free(q->near);
    free(q->runs);
    free(q);
    return made;
}

static PyObject *probe(PyObject *module, PyObject *args) {
    Py_buffer hashes, order, starts, shape, positions, values;
    struct tables tables;
    long distance;
    Py_ssize_t most;
    PyObject *made = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*ln", &hashes, &order, &starts, &shape, &positions, &values, &distance,
                          &most))
        return NULL;
    if (read_tables(&tables, &hashes, &order, &starts, &shape, &positions))
        made = ask(&tables, &values, distance, most);
    PyBuffer_Release(&hashes);
    PyBuffer_Release(&order);
    PyBuffer_Release(&starts);
    PyBuffer_Release(&shape);
    PyBuffer_Release(&positions);
    PyBuffer_Release(&values);
    return made;
}

/* Measuring every row */

struct scanning {
    const unsigned char *hashes, *values;
    size_t size, rows, count, row, end; /* bytes of a hash; rows, values; the next row, and where to stop */
    long distance;
    struct pairs found;
    int no_memory;
};

INLINED void block(struct scanning *s, size_t stop, size_t size) {
    for (size_t asked = 0; asked < s->count; asked++) {
        const unsigned char *value = s->values + asked * size;
        for (size_t row = s->row; row < stop; row++) {
            int bits = apart(s->hashes + row * size, value, size, s->distance);
            if (bits <= s->distance) {
                struct pair pair = {(uint32_t)row, (uint16_t)bits, (uint16_t)asked};
                if (!put(&s->found, &pair, 1)) {
                    s->no_memory = 1;
                    return;
                }
            }
        }
    }
}

INLINED void scan_all(struct scanning *s) {
    while (s->row < s->end && s->found.length < PAIRS && !s->no_memory) {
        size_t stop = s->end - s->row < BLOCK ? s->end : s->row + BLOCK;
        if (s->size == HASH)
            block(s, stop, HASH); /* of a size that is known beforehand it is unrolled */
        else if (s->size == 8)
            block(s, stop, 8);
        else
            block(s, stop, s->size);
        s->row = stop;
    }
}

#define SCANS(name, target)                                                                                    \
    target static void scan_##name(struct scanning *s) {                                                       \
        scan_all(s);                                                                                           \
    }
EACH_PROCESSOR(SCANS)

static PyObject *scan_rows(struct scanning *s) {
    PyObject *made;
    Py_BEGIN_ALLOW_THREADS
    CHOSEN(scan)(s);
    Py_END_ALLOW_THREADS
    if (s->no_memory)
        made = PyErr_NoMemory();
    else
        made = Py_BuildValue("(y#n)", s->found.at ? (char *)s->found.at : "",
                             (Py_ssize_t)(s->found.length * sizeof(struct pair)), (Py_ssize_t)s->row);
    free(s->found.at);
    return made;
}

static PyObject *scan(PyObject *module, PyObject *args) {
    Py_buffer hashes, values;
    struct scanning s = {0};
    Py_ssize_t size, row, end;
    PyObject *made = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*nlnn", &hashes, &values, &size, &s.distance, &row, &end))
        return NULL;
    if (size < 1 || size > 4096 || hashes.len % size || values.len % size || values.len / size > MOST_VALUES || row < 0
        || end < row || end > hashes.len / size || (uint64_t)end > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "at most 64 values of the size of the hashes are measured, by rows of these");
    } else {
        s.hashes = hashes.buf;
        s.values = values.buf;
        s.size = (size_t)size;
        s.count = (size_t)(values.len / size);
        s.row = (size_t)row;
        s.end = (size_t)end;
        made = scan_rows(&s);
    }
    PyBuffer_Release(&hashes);
    PyBuffer_Release(&values);
    return made;
}

/* Moving tables to a changed list */

struct moving {
    const unsigned char *words, *moved;
    size_t count, rows; /* words; rows of the old list */
    unsigned bits;      /* of a check */
    unsigned char *into;
    uint32_t *gone;
    size_t going;
    int damaged;
};

/* Every word with its row's new number; places of those that have none. */
static void move(struct moving *m) {
    const uint32_t mask = ((uint32_t)1 << m->bits) - 1;
    for (size_t i = 0; i < m->count; i++) {
        uint32_t numbered = number(m->words, i), row = numbered >> m->bits, now;
        if (i + AHEAD < m->count)
            __builtin_prefetch(m->moved + 4 * (size_t)(number(m->words, i + AHEAD) >> m->bits));
        if (row >= m->rows) {
            m->damaged = 1;
            return;
        }
        now = number(m->moved, row);
        m->gone[m->going] = (uint32_t)i;
        m->going += now == GONE;
        now = now << m->bits | (numbered & mask);
        memcpy(m->into + 4 * i, &now, 4);
    }
}

static PyObject *moved_words(struct moving *m) {
    PyObject *made = NULL, *into = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(4 * m->count));
    m->gone = malloc(sizeof *m->gone * (m->count + 1));
    if (into && m->gone) {
        m->into = (unsigned char *)PyBytes_AsString(into);
        Py_BEGIN_ALLOW_THREADS
        move(m);
        Py_END_ALLOW_THREADS
        if (m->damaged)
            PyErr_SetString(PyExc_IndexError, "a slot table leads out of itself");
        else
            made = Py_BuildValue("(Oy#)", into, (char *)m->gone, (Py_ssize_t)(sizeof *m->gone * m->going));
    } else if (into) {
        PyErr_NoMemory();
    }
    free(m->gone);
    Py_XDECREF(into);
    return made;
}

static PyObject *renumber(PyObject *module, PyObject *args) {
    Py_buffer words, moved;
    struct moving m = {0};
    PyObject *made = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*I", &words, &moved, &m.bits))
        return NULL;
    if (words.len % 4 || moved.len % 4 || m.bits > WIDEST || (uint64_t)words.len / 4 > UINT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "words and new numbers have four bytes each, a check 24 bits at most");
    } else {
        m.words = words.buf;
        m.moved = moved.buf;
        m.count = (size_t)words.len / 4;
        m.rows = (size_t)moved.len / 4;
        made = moved_words(&m);
    }
    PyBuffer_Release(&words);
    PyBuffer_Release(&moved);
    return made;
}

static PyMethodDef methods[] = {
    {"probe", probe, METH_VARARGS,
     "probe(hashes, order, starts, shape, positions, values, distance, most) -> (pairs, [crowded])"},
    {"scan", scan, METH_VARARGS, "scan(hashes, values, size, distance, row, end) -> (pairs, next row)"},
    {"renumber", renumber, METH_VARARGS, "renumber(words, new numbers, check bits) -> (words, places of those gone)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_near", "Searching lists; see scanner/index/perceptual.py.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__near(void) {
    return PyModule_Create(&definition);
}
