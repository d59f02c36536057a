/* What keeps a pod's namespaces while its containers come and go: it waits to be ended. Linked
 * statically, it is the only file of its image. */
#include <signal.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

int main(void) {
  signal(SIGINT, end);
  signal(SIGTERM, end);
  /* Ignored, children that this process inherits do not stay as zombies. */
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    pause();
  }
}
