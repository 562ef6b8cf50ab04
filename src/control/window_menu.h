/* The window's menu. */
#pragma once

#include "board/machine.h"

/* What the window's menu has in it from now on, where there is a window. */
void window_menu_open(struct machine *machine);
