/* Listing an open directory with the stats of its files, without a Python object for each of them.
 *
 * This is `scanner.sources.listing._read_block` once more, with the same answers: there the meaning is
 * written down, and tests compare the two. The stable interface of Python 3.11 is all that is used.
 */
#include "listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LISTED 65536 /* bytes that the kernel is asked for at a time */
#define MOST (LISTED / 24) /* entries in it: none is shorter */
#define RECORD 28    /* "<QqqI": inode, ctime in ns, size, mode */
#define MORE 32      /* "<qqQQ": mtime in ns, blocks, links, device */

/* linux/dirent.h does not tell it to programs; getdents64(2) does. */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short length;
    unsigned char type;
    char name[];
};

static unsigned char *grown(struct bytes *b, size_t more) {
    if (b->length + more > b->room) {
        size_t room = b->room ? 2 * b->room : 4096;
        while (room < b->length + more)
            room *= 2;
        unsigned char *at = realloc(b->at, room);
        if (!at)
            return NULL;
        b->at = at;
        b->room = room;
    }
    unsigned char *place = b->at + b->length;
    b->length += more;
    return place;
}

static unsigned char *little(unsigned char *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> 8 * i);
    return at + bytes;
}

static int64_t nanoseconds(struct timespec t) {
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Names stand between zero bytes, none at the end. */
static int add_name(struct bytes *names, const char *name, int first) {
    size_t length = strlen(name);
    unsigned char *at = grown(names, length + !first);
    if (!at)
        return 0;
    if (!first)
        *at++ = 0;
    memcpy(at, name, length);
    return 1;
}

static void add_file(struct block *b, const char *name, const struct stat *st) {
    unsigned char *record = grown(&b->records, RECORD), *more = grown(&b->more, MORE);
    if (!record || !more || !add_name(&b->names, name, b->files == 0)) {
        b->no_memory = 1;
        return;
    }
    b->files++;
    record = little(record, st->st_ino, 8);
    record = little(record, (uint64_t)nanoseconds(st->st_ctim), 8);
    record = little(record, (uint64_t)st->st_size, 8);
    little(record, st->st_mode, 4);
    more = little(more, (uint64_t)nanoseconds(st->st_mtim), 8);
    more = little(more, (uint64_t)st->st_blocks, 8);
    more = little(more, st->st_nlink, 8);
    little(more, st->st_dev, 8);
}

static unsigned char type_of(mode_t mode) {
    return (unsigned char)((mode & S_IFMT) >> 12); /* IFTODT of dirent.h */
}

/* An entry, and what was found of it. */
struct found {
    const struct entry *entry;
    struct stat st;
    int failure; /* of the stat */
};

static int has_stat(const struct entry *e) {
    return e->type == DT_REG || e->type == DT_UNKNOWN;
}

static void look(struct found *f, int fd) {
    f->failure = 0;
    if (has_stat(f->entry) && fstatat(fd, f->entry->name, &f->st, AT_SYMLINK_NOFOLLOW))
        f->failure = errno;
}

static unsigned char found_type(const struct found *f) {
    return f->entry->type == DT_UNKNOWN ? type_of(f->st.st_mode) : f->entry->type;
}

static void add_directory(struct block *b, const struct found *f) {
    if (!f->failure && found_type(f) == DT_DIR)
        b->no_memory |= !add_name(&b->directories, f->entry->name, b->directories.length == 0);
}

static void add_rest(struct block *b, const struct found *f) {
    if (f->failure) {
        b->unreadable += f->failure != ENOENT; /* as if the listing had come a moment later */
        return;
    }
    unsigned char type = found_type(f);
    if (type == DT_DIR)
        return;
    if (type == DT_REG)
        add_file(b, f->entry->name, &f->st);
    else if (type == DT_LNK)
        b->others[SYMLINK]++;
    else if (type == DT_FIFO)
        b->others[FIFO]++;
    else if (type == DT_SOCK)
        b->others[SOCKET]++;
    else if (type == DT_CHR || type == DT_BLK)
        b->others[DEVICE]++;
    else
        b->others[UNKNOWN]++;
}

static int by_inode(const void *one, const void *other) {
    uint64_t a = (*(struct found *const *)one)->entry->inode, b = (*(struct found *const *)other)->entry->inode;
    return (a > b) - (a < b);
}

/* Look at all entries, and name directories, in the order of the inodes; the rest in that of the listing. */
static void add_in_order(struct block *b, int fd, struct found *found, size_t count, struct found **order) {
    for (size_t i = 0; i < count; i++)
        order[i] = &found[i];
    qsort(order, count, sizeof *order, by_inode);
    for (size_t i = 0; i < count; i++) {
        look(order[i], fd);
        add_directory(b, order[i]);
    }
    for (size_t i = 0; i < count && !b->no_memory; i++)
        add_rest(b, &found[i]);
}

void list_directory(struct block *b, int fd, unsigned long limit, int ordered) {
    unsigned char *buffer = malloc(LISTED);
    struct found one, *found = ordered ? malloc(MOST * sizeof *found) : &one;
    struct found **order = ordered ? malloc(MOST * sizeof *order) : NULL;
    unsigned long met = 0;
    memset(b, 0, sizeof *b);
    b->last = 1;
    if (!buffer || !found || (ordered && !order)) {
        b->no_memory = 1;
        goto end;
    }
    if (lseek(fd, 0, SEEK_SET) < 0)
        b->failure = errno;
    while (!b->failure && !b->no_memory && b->last) {
        long got = syscall(SYS_getdents64, fd, buffer, LISTED);
        if (got <= 0) {
            b->failure = got ? errno : 0;
            break;
        }
        size_t count = 0;
        for (long at = 0; at < got && !b->no_memory;) {
            const struct entry *e = (const struct entry *)(buffer + at);
            at += e->length;
            if (e->name[0] == '.' && (!e->name[1] || (e->name[1] == '.' && !e->name[2])))
                continue;
            found[count].entry = e;
            if (ordered)
                count++;
            else {
                look(found, fd);
                add_directory(b, found);
                add_rest(b, found);
            }
            if (++met == limit) {
                b->last = 0;
                break;
            }
        }
        if (ordered)
            add_in_order(b, fd, found, count, order);
    }
end:
    free(buffer);
    free(order);
    if (ordered)
        free(found);
}

void free_block(struct block *b) {
    free(b->names.at);
    free(b->records.at);
    free(b->more.at);
    free(b->directories.at);
}

PyObject *block_answer(struct block *b) {
    if (b->no_memory)
        return PyErr_NoMemory();
    return Py_BuildValue(
        "(ky#y#y#y#(kkkkk)kiO)", b->files, b->names.at ? (char *)b->names.at : "", (Py_ssize_t)b->names.length,
        b->records.at ? (char *)b->records.at : "", (Py_ssize_t)b->records.length,
        b->more.at ? (char *)b->more.at : "", (Py_ssize_t)b->more.length,
        b->directories.at ? (char *)b->directories.at : "", (Py_ssize_t)b->directories.length,
        b->others[SYMLINK], b->others[FIFO], b->others[SOCKET], b->others[DEVICE], b->others[UNKNOWN],
        b->unreadable, b->failure, b->last ? Py_True : Py_False);
}

static PyObject *read_block(PyObject *module, PyObject *arguments) {
    int fd;
    unsigned long limit;
    int ordered = 0;
    struct block b;
    PyObject *made;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "ik|p", &fd, &limit, &ordered))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    list_directory(&b, fd, limit, ordered);
    Py_END_ALLOW_THREADS
    made = block_answer(&b);
    free_block(&b);
    return made;
}

static PyMethodDef methods[] = {
    {"read_block", read_block, METH_VARARGS,
     "read_block(fd, limit, by_inode=False) -> (files, names, records, more, directories, others, unreadable, errno, last)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_listing", "Listing an open directory; see scanner/sources/listing.py.", 0, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__listing(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module && add_ahead(module)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
