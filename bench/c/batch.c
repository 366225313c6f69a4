/* Batches of lines: lock, one writev of all, unlock, one sync. Prints the nanoseconds of each.
 *
 * Usage: batch FILE BATCHES LINES LENGTH, where LENGTH is that of a line with its newline. LINES is
 * at most 1,024. */
#include "common.h"
#include <sys/uio.h>

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: batch FILE BATCHES LINES LENGTH\n");
    return 2;
  }
  long batches = atol(argv[2]);
  int lines = atoi(argv[3]);
  size_t length = (size_t)atol(argv[4]);
  struct iovec *parts = malloc(sizeof *parts * (size_t)lines);
  long long *took = malloc(sizeof *took * (size_t)batches);
  check(parts && took, "malloc");
  for (int n = 0; n < lines; n++) parts[n] = (struct iovec){make_line(length), length};
  int log = open_log(argv[1]);
  for (long n = 0; n < batches; n++) {
    long long start = now();
    check(flock(log, LOCK_EX) == 0, "flock");
    check(writev(log, parts, lines) == (ssize_t)(length * (size_t)lines), "writev");
    check(flock(log, LOCK_UN) == 0, "flock");
    check(fdatasync(log) == 0, "fdatasync");
    took[n] = now() - start;
  }
  for (long n = 0; n < batches; n++) printf("%lld\n", took[n]);
  return 0;
}
