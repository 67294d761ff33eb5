/* Packing the columns of a chunk of the catalog, without a Python object for each number.
 *
 * This is what `scanner.catalog.chunks.encode` does between the names and the views, with the same bytes: there
 * the format is written down, and tests compare the two. Whatever is unusual (numbers of more than 62 bits, a
 * digest of another length) is left to Python, which knows what to say. The stable interface of Python 3.11 is
 * all that is used.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST 256   /* rows in a call; the catalog has 56 */
#define NUMBERS 11 /* columns, see chunks.py */
#define KINDS 4    /* of exact digests */
#define WIDTH 16   /* items of a row: name, ten numbers, digests, views */
#define FIRST_DIGEST 11
#define ROOM (MOST * 8 + 10) /* bytes of a packed column at most */

static const Py_ssize_t sizes[KINDS] = {16, 20, 32, 64};
static const int64_t largest = (int64_t)1 << 62;

enum { NAME, INODE, SIZE, MTIME, CTIME, LINKS, BLOCKS, STATE, MEDIA, PROBLEM, HASHED };

struct rows {
    Py_ssize_t count;
    int64_t numbers[NUMBERS][MOST]; /* as they stand in a row; the first is the length of the name */
    const char *digests[KINDS][MOST];
};

/* Bits of a number without its sign. */
static unsigned bits_of(uint64_t number) {
    return number ? 64 - (unsigned)__builtin_clzll(number) : 0;
}

/* As `pack_integers`. */
static unsigned char *packed(unsigned char *at, const int64_t *numbers, Py_ssize_t count) {
    int64_t least = numbers[0], most = numbers[0];
    for (Py_ssize_t i = 1; i < count; i++) {
        if (numbers[i] < least)
            least = numbers[i];
        if (numbers[i] > most)
            most = numbers[i];
    }
    unsigned width = (bits_of((uint64_t)most - (uint64_t)least) + 7) / 8;
    unsigned length = least ? (bits_of(least < 0 ? 0 - (uint64_t)least : (uint64_t)least) + 8) / 8 : 0;
    *at++ = (unsigned char)(width | length << 4);
    for (unsigned byte = 0; byte < length; byte++)
        *at++ = (unsigned char)((uint64_t)least >> 8 * byte);
    for (unsigned plane = 0; plane < width; plane++)
        for (Py_ssize_t i = 0; i < count; i++)
            *at++ = (unsigned char)(((uint64_t)numbers[i] - (uint64_t)least) >> 8 * plane);
    return at;
}

/* 1: read; 0: something is unusual; -1: an exception is set. */
static int read_row(struct rows *rows, Py_ssize_t place, PyObject *row) {
    char *name;
    Py_ssize_t length;
    if (!PyTuple_Check(row) || PyTuple_Size(row) != WIDTH)
        return 0;
    PyObject *first = PyTuple_GetItem(row, NAME);
    if (!PyBytes_Check(first))
        return 0;
    if (PyBytes_AsStringAndSize(first, &name, &length) < 0)
        return -1;
    rows->numbers[NAME][place] = length;
    for (int item = INODE; item <= HASHED; item++) {
        int overflow;
        PyObject *number = PyTuple_GetItem(row, item);
        if (!PyLong_Check(number))
            return 0;
        long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
        if (value == -1 && PyErr_Occurred())
            return -1;
        if (overflow || value >= largest || value <= -largest)
            return 0;
        rows->numbers[item][place] = value;
    }
    for (int kind = 0; kind < KINDS; kind++) {
        PyObject *digest = PyTuple_GetItem(row, FIRST_DIGEST + kind);
        if (digest == Py_None)
            rows->digests[kind][place] = NULL;
        else if (!PyBytes_Check(digest) || PyBytes_Size(digest) != sizes[kind])
            return 0;
        else
            rows->digests[kind][place] = PyBytes_AsString(digest);
    }
    return 1;
}

/* As `_pack_digests`. */
static unsigned char *digests_of(unsigned char *at, const struct rows *rows, unsigned *flags) {
    for (int kind = 0; kind < KINDS; kind++) {
        Py_ssize_t there = 0;
        for (Py_ssize_t i = 0; i < rows->count; i++)
            there += rows->digests[kind][i] != NULL;
        if (!there)
            continue;
        *flags |= (there == rows->count ? 1U : 2U) << 2 * kind;
        if (there < rows->count) {
            memset(at, 0, (size_t)(rows->count + 7) / 8);
            for (Py_ssize_t i = 0; i < rows->count; i++)
                if (rows->digests[kind][i])
                    at[i / 8] |= (unsigned char)(1U << i % 8);
            at += (rows->count + 7) / 8;
        }
        for (Py_ssize_t i = 0; i < rows->count; i++)
            if (rows->digests[kind][i]) {
                memcpy(at, rows->digests[kind][i], (size_t)sizes[kind]);
                at += sizes[kind];
            }
    }
    return at;
}

static unsigned char *columns_of(unsigned char *at, struct rows *rows) {
    static const int order[] = {INODE, SIZE, CTIME, MTIME, LINKS, BLOCKS, STATE, MEDIA, PROBLEM, HASHED, NAME};
    for (Py_ssize_t i = 0; i < rows->count; i++) {
        int64_t size = rows->numbers[SIZE][i];
        rows->numbers[MTIME][i] -= rows->numbers[CTIME][i];
        rows->numbers[BLOCKS][i] -= ((size + 4095) >> 12) * 8;
        rows->numbers[HASHED][i] -= size;
    }
    for (int column = 0; column < NUMBERS; column++)
        at = packed(at, rows->numbers[order[column]], rows->count);
    return at;
}

static PyObject *pack(PyObject *module, PyObject *list) {
    static const size_t room = NUMBERS * ROOM + MOST * (16 + 20 + 32 + 64) + KINDS * (MOST / 8);
    struct rows *rows;
    unsigned char *buffer, *middle, *end;
    PyObject *made = NULL;
    unsigned flags = 0;
    int usual = 1;
    (void)module;
    if (!PyList_Check(list) || PyList_Size(list) < 1 || PyList_Size(list) > MOST)
        Py_RETURN_NONE;
    rows = malloc(sizeof *rows + room);
    if (!rows)
        return PyErr_NoMemory();
    buffer = (unsigned char *)(rows + 1);
    rows->count = PyList_Size(list);
    for (Py_ssize_t i = 0; usual == 1 && i < rows->count; i++)
        usual = read_row(rows, i, PyList_GetItem(list, i));
    if (usual == 1) {
        middle = digests_of(buffer, rows, &flags);
        end = columns_of(middle, rows);
        made = Py_BuildValue("(Iy#y#)", flags, (char *)buffer, (Py_ssize_t)(middle - buffer), (char *)middle,
                             (Py_ssize_t)(end - middle));
    } else if (usual == 0) {
        made = Py_NewRef(Py_None);
    }
    free(rows);
    return made;
}

static PyMethodDef methods[] = {
    {"pack", pack, METH_O, "pack(rows) -> (flags, digests, columns), or None where a row is unusual"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_chunks", "Packing columns; see scanner/catalog/chunks.py.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__chunks(void) {
    return PyModule_Create(&definition);
}
