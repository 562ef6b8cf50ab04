/* ringer bench: measures this program's engines, the bare CPU and peers. */
#pragma once

/* argv[0] is "bench". Returns the exit status: 0, 1 if a target was missed (--check), 2 if it could
 * not be done. */
int bench_main(int argc, char **argv);
