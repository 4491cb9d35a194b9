/* cli.h: the commands that main.c hands over to, one file each. argv[0] is the command's name.
 *   returns  the exit status: 0, 1 with one line on standard error, or 2 for misuse */
#pragma once

int cli_serve(int argc, char **argv);  /* run a server */
int cli_worker(int argc, char **argv); /* or a part of one */
int cli_dispatcher(int argc, char **argv);
int cli_drain(int argc, char **argv);  /* make a running server send its clients away and end */
int cli_check(int argc, char **argv);  /* is this configuration right? */
int cli_reload(int argc, char **argv); /* make a running server read it again */
int cli_status(int argc, char **argv); /* how does a running server do? */
int cli_backup(int argc, char **argv); /* make a running server copy what it stores */
int cli_plugin(int argc, char **argv); /* plugins: info, check, list, new */
int cli_keygen(int argc, char **argv); /* make a key to sign tokens with */
int cli_token(int argc, char **argv);  /* sign a token */
