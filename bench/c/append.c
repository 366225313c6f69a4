/* Durable appends with nothing around them: flock, one write, unlock, fdatasync. Prints the nanoseconds of each.
 *
 * Usage: append FILE COUNT LENGTH, where LENGTH is that of a line with its newline. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void check(int good, const char *what) {
  if (good) return;
  perror(what);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: append FILE COUNT LENGTH\n");
    return 2;
  }
  long count = atol(argv[2]);
  size_t length = (size_t)atol(argv[3]);
  char *line = malloc(length);
  long long *took = malloc(sizeof *took * (size_t)count);
  check(line && took && length > 0, "malloc");
  memset(line, 'x', length);
  line[length - 1] = '\n';
  int log = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  check(log >= 0, "open");
  for (long n = 0; n < count; n++) {
    long long start = now();
    check(flock(log, LOCK_EX) == 0, "flock");
    check(write(log, line, length) == (ssize_t)length, "write");
    check(flock(log, LOCK_UN) == 0, "flock");
    check(fdatasync(log) == 0, "fdatasync");
    took[n] = now() - start;
  }
  for (long n = 0; n < count; n++) printf("%lld\n", took[n]);
  return 0;
}
