/* The shell of a terminal: its PTY, its surroundings, its process. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

int shell_terminal(char slave[64])
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, slave, 64) != 0)
        return -1;
    struct termios modes;
    if (tcgetattr(master, &modes) == 0) {
        modes.c_iflag |= IUTF8;
        tcsetattr(master, TCSANOW, &modes);
    }
    return master;
}

void shell_resize(struct holder *holder, unsigned rows, unsigned columns, bool redraw)
{
    struct winsize now = {0}, size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
    if (rows < 1 || columns < 1 || rows > 1000 || columns > 1000)
        return;
    ioctl(holder->master, TIOCGWINSZ, &now);
    if (now.ws_row != size.ws_row || now.ws_col != size.ws_col) {
        ioctl(holder->master, TIOCSWINSZ, &size);
    } else if (redraw) { /* the kernel says it of changes only */
        pid_t group = 0;
        if (ioctl(holder->master, TIOCGPGRP, &group) == 0 && group > 0)
            kill(-group, SIGWINCH);
    }
}

_Noreturn void become_shell(const char *slave, const char *command, char **environment)
{
    const char *home = getenv("HOME"), *shell = getenv("SHELL");
    if (!shell || access(shell, X_OK) < 0)
        shell = access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
    setsid();
    int terminal = open(slave, O_RDWR);
    if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0)
        _exit(126);
    for (int end = 0; end < 3; end++)
        dup2(terminal, end);
    close_range(3, ~0U, 0);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    if (home && chdir(home) < 0 && chdir("/") < 0)
        _exit(126);
    char name[256];
    const char *last = strrchr(shell, '/');
    snprintf(name, sizeof name, "-%s", last ? last + 1 : shell);
    if (command)
        execve(shell, (char *[]){name + 1, "-c", (char *)command, NULL}, environment);
    else
        execve(shell, (char *[]){name, NULL}, environment);
    dprintf(2, "%s cannot be started: %s\r\n", shell, strerror(errno));
    _exit(127);
}

char **shell_environment(const char *id, const json_t *more)
{
    extern char **environ;
    json_t *all = json_object();
    for (char **each = environ; *each; each++) {
        const char *end = strchr(*each, '=');
        if (!end || !strncmp(*each, "SSH_", 4))
            continue;
        char *name = strndup(*each, (size_t)(end - *each));
        if (name)
            json_object_set_new(all, name, json_string(end + 1));
        free(name);
    }
    json_object_set_new(all, "TERM", json_string("xterm-256color"));
    json_object_set_new(all, "COLORTERM", json_string("truecolor"));
    if (!json_object_get(all, "LANG"))
        json_object_set_new(all, "LANG", json_string("C.UTF-8"));
    json_object_set_new(all, "MARTLET_TERMINAL", json_string(id));
    json_object_update(all, (json_t *)more);
    return environment_texts(all);
}
