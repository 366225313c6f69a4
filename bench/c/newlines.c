/* Counts the newlines of a file: the least that a scan of it can cost. Prints the count and the
 * nanoseconds.
 *
 * Usage: newlines FILE */
#include "common.h"

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: newlines FILE\n");
    return 2;
  }
  size_t room = 1 << 20;
  char *buffer = malloc(room);
  check(buffer != NULL, "malloc");
  long long start = now();
  int log = open(argv[1], O_RDONLY | O_CLOEXEC);
  check(log >= 0, "open");
  long long count = 0;
  for (ssize_t got; (got = read(log, buffer, room)) != 0;) {
    check(got > 0, "read");
    for (char *at = buffer; (at = memchr(at, '\n', (size_t)(buffer + got - at))) != NULL; at++) count++;
  }
  printf("%lld %lld\n", count, now() - start);
  return 0;
}
