/* What the parts of scanner.sources._listing share. */
#ifndef LISTING_H
#define LISTING_H
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#define _GNU_SOURCE
#include <Python.h>

#include <stdint.h>

struct bytes {
    unsigned char *at;
    size_t length, room;
};

enum { SYMLINK, FIFO, SOCKET, DEVICE, UNKNOWN, OTHERS };

/* Some entries of a directory; see Block in scanner/sources/listed.py. */
struct block {
    struct bytes names, records, more, directories;
    unsigned long files, others[OTHERS], unreadable;
    int failure, last, no_memory;
};

/* List an open directory from its beginning, up to `limit` entries; asks nothing of Python. */
void list_directory(struct block *b, int fd, unsigned long limit, int ordered);

/* What read_block returns, or NULL with MemoryError. */
PyObject *block_answer(struct block *b);

void free_block(struct block *b);

/* Put the type Ahead into the module; 0 if that went well. */
int add_ahead(PyObject *module);

#endif
