/* The machine lock: see lock.h.
 *
 * A plain mutex serves whoever comes first, and the processor's thread, which takes it for each access to a device,
 * comes first every time. So while somebody waits, all others queue up at a turnstile behind the one who is next.
 */
#include "lock.h"

#include <pthread.h>
#include <stdatomic.h>

#include "log.h"

static struct {
    pthread_mutex_t lock, turnstile;
    _Atomic unsigned waiting;
} machine = {.lock = PTHREAD_MUTEX_INITIALIZER, .turnstile = PTHREAD_MUTEX_INITIALIZER};
static _Thread_local bool is_mine;

void machine_lock(void)
{
    assert_always(!is_mine);
    if (atomic_load_explicit(&machine.waiting, memory_order_relaxed) || pthread_mutex_trylock(&machine.lock) != 0) {
        atomic_fetch_add(&machine.waiting, 1);
        pthread_mutex_lock(&machine.turnstile);
        pthread_mutex_lock(&machine.lock);
        pthread_mutex_unlock(&machine.turnstile);
        atomic_fetch_sub(&machine.waiting, 1);
    }
    is_mine = true;
}

void machine_unlock(void)
{
    assert_always(is_mine);
    is_mine = false;
    pthread_mutex_unlock(&machine.lock);
}

bool machine_is_locked(void)
{
    return is_mine;
}
