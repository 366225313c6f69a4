/* Durable appends by a second thread: the first thread hands each over, and sleeps until an eventfd
 * wakes it. A program whose event loop must stay free cannot do less. Prints the nanoseconds of
 * each.
 *
 * Usage: handed FILE COUNT LENGTH, where LENGTH is that of a line with its newline. */
#include "common.h"
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t handed = PTHREAD_COND_INITIALIZER;
static long asked;
static long count;
static int done;
static const char *path;
static size_t length;

static void *work(void *nothing) {
  (void)nothing;
  int log = open_log(path);
  char *line = make_line(length);
  for (long n = 0; n < count; n++) {
    pthread_mutex_lock(&lock);
    while (asked <= n) pthread_cond_wait(&handed, &lock);
    pthread_mutex_unlock(&lock);
    append_line(log, line, length);
    uint64_t one = 1;
    check(write(done, &one, sizeof one) == sizeof one, "write to the eventfd");
  }
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: handed FILE COUNT LENGTH\n");
    return 2;
  }
  path = argv[1];
  count = atol(argv[2]);
  length = (size_t)atol(argv[3]);
  long long *took = malloc(sizeof *took * (size_t)count);
  check(took != NULL, "malloc");
  done = eventfd(0, EFD_CLOEXEC);
  check(done >= 0, "eventfd");
  pthread_t worker;
  check(pthread_create(&worker, NULL, work, NULL) == 0, "pthread_create");
  for (long n = 0; n < count; n++) {
    long long start = now();
    pthread_mutex_lock(&lock);
    asked = n + 1;
    pthread_cond_signal(&handed);
    pthread_mutex_unlock(&lock);
    uint64_t woken;
    check(read(done, &woken, sizeof woken) == sizeof woken, "read from the eventfd");
    took[n] = now() - start;
  }
  for (long n = 0; n < count; n++) printf("%lld\n", took[n]);
  return 0;
}
