/* Durable appends with nothing around them, one after the other. Prints the nanoseconds of each.
 *
 * Usage: append FILE COUNT LENGTH, where LENGTH is that of a line with its newline. */
#include "common.h"

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: append FILE COUNT LENGTH\n");
    return 2;
  }
  long count = atol(argv[2]);
  size_t length = (size_t)atol(argv[3]);
  char *line = make_line(length);
  long long *took = malloc(sizeof *took * (size_t)count);
  check(took != NULL, "malloc");
  int log = open_log(argv[1]);
  for (long n = 0; n < count; n++) {
    long long start = now();
    append_line(log, line, length);
    took[n] = now() - start;
  }
  for (long n = 0; n < count; n++) printf("%lld\n", took[n]);
  return 0;
}
