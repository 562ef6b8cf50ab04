/* The way into and out of translated code (src/native/world.c implements it). */
#pragma once

#include "bt.h"

/* Runs translated code at host until it exits; returns an enum exit_reason, argument in
 * bt->exit_arg, guest registers in bt->cpu.gpr, flags in bt->host_flags. EIP is stored by the exit
 * (the caller finds it in bt->cpu.eip). */
unsigned world_enter(struct bt *bt, const void *host);
/* Where translated code jumps to leave: R8D = argument, R9D = reason. */
void world_exit(void);
/* Where the fault handler resumes when it has stored the guest registers itself: R9D = reason. */
void world_exit_recovered(void);
/* [world_enter_restart, world_enter_end): not yet in guest code. The kick handler moves the host
 * there to world_enter_abort, which returns EXIT_KICK. */
extern const char world_enter_restart[], world_enter_end[], world_enter_abort[];
/* Between a trampoline and the C function in RAX, whose arguments it hands on: keeps what of the guest's state such a
 * function may change beside general registers, if it is in the host. x87 and MMX are nobody's but the guest's: nothing
 * here computes in long double while translated code waits. */
void world_call(void);
/* Whether user code may write GS base itself (CR4.FSGSBASE of the host). */
bool world_has_fsgsbase(void);
/* GS base = base of the window. WRGSBASE where the kernel allows it, else arch_prctl. */
void world_set_gs_base(const void *base);
