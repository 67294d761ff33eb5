/* Directories that come next are opened and listed by threads of their own, while Python deals with others.
 *
 * The threads never touch Python, so they wait for nobody's lock. They open a directory as the walk does, by
 * its name in the open one above it. Whatever goes wrong is not told: the walk is then given nothing, does it
 * itself, and meets the same error.
 */
#include "listing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437 /* the same on all architectures; headers before Linux 5.6 lack it */
#endif
#define AWAKE 32 /* directories after one that had to be waited for, for which all threads are woken */
#define STACK (256 << 10) /* bytes; lists are on the heap */
#define MOST 12           /* jobs at a time: those offered first are left for those offered last */

/* linux/openat2.h, which old headers lack as well. */
struct how {
    uint64_t flags, mode, resolve;
};

/* A descriptor of ours that several jobs use. */
struct parent {
    int fd;
    unsigned users;
};

enum state { WAITING, RUNNING, DONE, LEFT };

struct job {
    struct job *next;
    struct parent *parent;
    unsigned long level; /* later ones are needed sooner */
    enum state state;
    int fd; /* -1 if it could not be opened */
    struct block listed;
    char name[];
};

/* Shared by the object and its threads; the last of them frees it. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct job *first;
    unsigned users;
    int stopped, ordered, awake;
    unsigned long limit;
    struct how how;
};

typedef struct {
    PyObject_HEAD
    struct queue *queue;
} Ahead;

static void free_job(struct job *j) {
    if (j->fd >= 0)
        close(j->fd);
    if (!--j->parent->users) {
        close(j->parent->fd);
        free(j->parent);
    }
    free_block(&j->listed);
    free(j);
}

/* To be called with the lock; one that is being listed is freed by its thread. */
static void leave(struct job *j) {
    if (j->state == RUNNING)
        j->state = LEFT;
    else
        free_job(j);
}

static void leave_all(struct queue *q) {
    while (q->first) {
        struct job *j = q->first;
        q->first = j->next;
        leave(j);
    }
}

/* To be called with the lock, which is given back. */
static void let_go(struct queue *q) {
    unsigned users = --q->users;
    pthread_mutex_unlock(&q->lock);
    if (users)
        return;
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->done);
    free(q);
}

static void open_and_list(struct job *j, const struct queue *q) {
    struct how how = q->how;
    j->fd = (int)syscall(SYS_openat2, j->parent->fd, j->name, &how, sizeof how);
    if (j->fd >= 0)
        list_directory(&j->listed, j->fd, q->limit, q->ordered);
}

/* How often this thread had to wait for something. */
static long waits(void) {
    struct rusage used;
    return getrusage(RUSAGE_THREAD, &used) ? 0 : used.ru_nvcsw;
}

static struct job *next_job(const struct queue *q) {
    struct job *found = NULL;
    for (struct job *j = q->first; j; j = j->next)
        if (j->state == WAITING && (!found || j->level > found->level))
            found = j;
    return found;
}

static void *work(void *argument) {
    struct queue *q = argument;
    pthread_mutex_lock(&q->lock);
    while (!q->stopped) {
        struct job *j = next_job(q);
        if (!j) {
            pthread_cond_wait(&q->work, &q->lock);
            continue;
        }
        j->state = RUNNING;
        pthread_mutex_unlock(&q->lock);
        long before = waits();
        open_and_list(j, q);
        int waited = waits() != before;
        pthread_mutex_lock(&q->lock);
        q->awake = waited ? AWAKE : q->awake - !!q->awake;
        if (j->state == LEFT)
            free_job(j);
        else {
            j->state = DONE;
            pthread_cond_signal(&q->done);
        }
    }
    let_go(q);
    return NULL;
}

/* Start threads; fewer where no more may be had. */
static void start(struct queue *q, unsigned threads) {
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    if (pthread_attr_init(&attributes))
        return;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED); /* one may hang in a dead storage */
    pthread_attr_setstacksize(&attributes, STACK);
    sigfillset(&all); /* signals are for Python */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&q->lock);
    for (unsigned i = 0; i < threads && !pthread_create(&thread, &attributes, work, q); i++)
        q->users++;
    pthread_mutex_unlock(&q->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static PyObject *ahead_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    unsigned int threads;
    unsigned long limit;
    unsigned long long flags, resolve;
    int ordered;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "IkpKK", &threads, &limit, &ordered, &flags, &resolve))
        return NULL;
    Ahead *self = (Ahead *)alloc(type, 0);
    struct queue *q = self ? calloc(1, sizeof *q) : NULL;
    if (!q) {
        Py_XDECREF((PyObject *)self);
        return PyErr_NoMemory();
    }
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->work, NULL);
    pthread_cond_init(&q->done, NULL);
    q->users = 1;
    q->limit = limit;
    q->ordered = ordered;
    q->how.flags = flags;
    q->how.resolve = resolve;
    self->queue = q;
    start(q, threads);
    return (PyObject *)self;
}

static void ahead_dealloc(PyObject *object) {
    struct queue *q = ((Ahead *)object)->queue;
    PyTypeObject *type = Py_TYPE(object);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    if (q) {
        pthread_mutex_lock(&q->lock);
        leave_all(q);
        q->stopped = 1;
        pthread_cond_broadcast(&q->work);
        let_go(q);
    }
    release(object);
    Py_DECREF(type);
}

static struct job *new_job(struct parent *parent, unsigned long level, const char *name, size_t length) {
    struct job *j = calloc(1, sizeof *j + length + 1);
    if (!j)
        return NULL;
    memcpy(j->name, name, length);
    j->parent = parent;
    j->level = level;
    j->fd = -1;
    parent->users++;
    return j;
}

static PyObject *ahead_offer(PyObject *object, PyObject *arguments) {
    struct queue *q = ((Ahead *)object)->queue;
    int fd;
    unsigned long level;
    const char *names;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(arguments, "kiy#", &level, &fd, &names, &length))
        return NULL;
    struct parent *parent = malloc(sizeof *parent);
    if (!parent)
        return PyErr_NoMemory();
    parent->users = 0;
    parent->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (parent->fd < 0) { /* too many are open: the walk goes on without */
        free(parent);
        Py_RETURN_NONE;
    }
    pthread_mutex_lock(&q->lock);
    struct job **end = &q->first;
    while (*end)
        end = &(*end)->next;
    unsigned made = 0, jobs = 0;
    for (const char *at = names, *last = names + length; at < last; made++) {
        size_t one = strnlen(at, (size_t)(last - at));
        struct job *j = new_job(parent, level, at, one);
        if (!j)
            break;
        *end = j;
        end = &j->next;
        at += one + 1;
    }
    if (!made) {
        close(parent->fd);
        free(parent);
    }
    for (struct job *j = q->first; j; j = j->next)
        jobs++;
    for (; jobs > MOST; jobs--) {
        struct job *j = q->first;
        q->first = j->next;
        leave(j);
    }
    int all = q->awake > 0;
    pthread_mutex_unlock(&q->lock);
    /* One is enough where all is in memory: waking others would cost more than it brings. */
    if (all)
        pthread_cond_broadcast(&q->work);
    else
        pthread_cond_signal(&q->work);
    Py_RETURN_NONE;
}

/* Take a job out; NULL if it is not there or was not begun. Nobody else takes or leaves one meanwhile. */
static struct job *taken(struct queue *q, unsigned long level, const char *name) {
    struct job **place = &q->first, *j;
    while ((j = *place) && (j->level != level || strcmp(j->name, name)))
        place = &j->next;
    if (!j)
        return NULL;
    *place = j->next;
    if (j->state == WAITING) {
        free_job(j);
        return NULL;
    }
    while (j->state == RUNNING)
        pthread_cond_wait(&q->done, &q->lock);
    return j;
}

static PyObject *ahead_take(PyObject *object, PyObject *arguments) {
    struct queue *q = ((Ahead *)object)->queue;
    const char *name;
    unsigned long level;
    struct job *j;
    PyObject *listed = NULL, *made = NULL;
    if (!PyArg_ParseTuple(arguments, "ky", &level, &name))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&q->lock);
    j = taken(q, level, name);
    pthread_mutex_unlock(&q->lock);
    Py_END_ALLOW_THREADS
    if (!j)
        Py_RETURN_NONE;
    if (j->fd >= 0) {
        listed = block_answer(&j->listed);
        made = listed ? Py_BuildValue("(iN)", j->fd, listed) : NULL;
        if (made)
            j->fd = -1; /* the caller's now */
    }
    int failed = j->fd >= 0;
    pthread_mutex_lock(&q->lock);
    free_job(j);
    pthread_mutex_unlock(&q->lock);
    if (made || failed)
        return made;
    Py_RETURN_NONE;
}

static PyObject *ahead_drop(PyObject *object, PyObject *nothing) {
    struct queue *q = ((Ahead *)object)->queue;
    (void)nothing;
    pthread_mutex_lock(&q->lock);
    leave_all(q);
    pthread_mutex_unlock(&q->lock);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"offer", ahead_offer, METH_VARARGS, "offer(level, parent_fd, names, joined by zero bytes): have them listed"},
    {"take", ahead_take, METH_VARARGS, "take(level, name) -> (fd, what read_block returns), or None"},
    {"drop", ahead_drop, METH_NOARGS, "drop(): forget what was offered and not taken"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Ahead(threads, limit, by_inode, flags, resolve): see scanner/sources/ahead.py"},
    {Py_tp_new, ahead_new},
    {Py_tp_dealloc, ahead_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {"scanner.sources._listing.Ahead", sizeof(Ahead), 0, Py_TPFLAGS_DEFAULT, slots};

int add_ahead(PyObject *module) {
    PyObject *type = PyType_FromSpec(&spec);
    int failed = !type || PyModule_AddObjectRef(module, "Ahead", type);
    Py_XDECREF(type);
    return failed;
}
