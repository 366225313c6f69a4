/* What the programs of this folder share: the clock, checks, a line of a given length. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static inline long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline void check(int good, const char *what) {
  if (good) return;
  perror(what);
  exit(1);
}

static inline int open_log(const char *path) {
  int log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  check(log >= 0, "open");
  return log;
}

/* `length` counts the newline. */
static inline char *make_line(size_t length) {
  char *line = malloc(length);
  check(line && length > 0, "malloc");
  memset(line, 'x', length);
  line[length - 1] = '\n';
  return line;
}

/* One durable append: the sync comes after the lock, so that processes overlap theirs. */
static inline void append_line(int log, const char *line, size_t length) {
  check(flock(log, LOCK_EX) == 0, "flock");
  check(write(log, line, length) == (ssize_t)length, "write");
  check(flock(log, LOCK_UN) == 0, "flock");
  check(fdatasync(log) == 0, "fdatasync");
}
