/* Many processes append to one file, each sync outside the lock. Every process appends once, then
 * all begin together. Prints a line for each process: its beginning and its end, then the
 * nanoseconds of each of its appends.
 *
 * Usage: crowd FILE PROCESSES COUNT LENGTH, where LENGTH is that of a line with its newline. */
#include "common.h"
#include <sys/wait.h>

static void member(const char *path, long count, size_t length, int ready, int go, int out) {
  char *line = make_line(length);
  long long *took = malloc(sizeof *took * (size_t)count);
  check(took != NULL, "malloc");
  int log = open_log(path);
  append_line(log, line, length);
  char byte = 0;
  check(write(ready, &byte, 1) == 1, "write");
  /* Ends for all at once: the parent closes the only end that writes. */
  check(read(go, &byte, 1) == 0, "read");
  long long began = now();
  for (long n = 0; n < count; n++) {
    long long start = now();
    append_line(log, line, length);
    took[n] = now() - start;
  }
  long long ended = now();
  FILE *results = fdopen(out, "w");
  check(results != NULL, "fdopen");
  fprintf(results, "%lld %lld", began, ended);
  for (long n = 0; n < count; n++) fprintf(results, " %lld", took[n]);
  fputc('\n', results);
  check(fclose(results) == 0, "fclose");
  exit(0);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: crowd FILE PROCESSES COUNT LENGTH\n");
    return 2;
  }
  long processes = atol(argv[2]);
  long count = atol(argv[3]);
  size_t length = (size_t)atol(argv[4]);
  int ready[2], go[2];
  check(pipe(ready) == 0 && pipe(go) == 0, "pipe");
  FILE **results = malloc(sizeof *results * (size_t)processes);
  check(results != NULL, "malloc");
  for (long n = 0; n < processes; n++) {
    int out[2];
    check(pipe(out) == 0, "pipe");
    pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid == 0) {
      close(go[1]);
      member(argv[1], count, length, ready[1], go[0], out[1]);
    }
    close(out[1]);
    results[n] = fdopen(out[0], "r");
    check(results[n] != NULL, "fdopen");
  }
  char byte;
  for (long n = 0; n < processes; n++) check(read(ready[0], &byte, 1) == 1, "read");
  close(go[1]);
  for (long n = 0; n < processes; n++)
    for (int c; (c = fgetc(results[n])) != EOF;) putchar(c);
  int status;
  for (long n = 0; n < processes; n++) check(wait(&status) > 0 && status == 0, "a process of the crowd");
  return 0;
}
