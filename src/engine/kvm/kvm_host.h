/* The host's KVM: is it there, and does it run 32-bit guests on the CPU? */
#pragma once

#include <glib.h>

#include "types.h"

struct kvm_host {
    int dev, vm; /* the caller's; -1 where it did not come to that */
};

/* Opens /dev/kvm and makes a virtual machine. False: *error is a sentence for the user. */
bool kvm_host_open(struct kvm_host *host, GError **error);
void kvm_host_close(struct kvm_host *host);

/* Tries it with a few instructions: a KVM without hardware behind it (kvm_pvm, for one) lets itself be opened, and
 * emulates 32-bit code instruction by instruction, at best. Some 0.1 ms. False with *error as above. */
bool kvm_host_try(GError **error);
