/* The machine lock: see lock.h.
 *
 * A plain mutex serves whoever comes first, and the processor's thread, which takes it for each access to a device,
 * comes first every time. So while somebody waits, all others queue up at a turnstile behind the one who is next.
 */
#include "lock.h"

#include <pthread.h>
#include <stdatomic.h>

#include "log.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, turnstile = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned waiting;
static _Thread_local bool is_mine;

void machine_lock(void)
{
    assert_always(!is_mine);
    if (atomic_load_explicit(&waiting, memory_order_relaxed) || pthread_mutex_trylock(&lock) != 0) {
        atomic_fetch_add(&waiting, 1);
        pthread_mutex_lock(&turnstile);
        pthread_mutex_lock(&lock);
        pthread_mutex_unlock(&turnstile);
        atomic_fetch_sub(&waiting, 1);
    }
    is_mine = true;
}

void machine_unlock(void)
{
    assert_always(is_mine);
    is_mine = false;
    pthread_mutex_unlock(&lock);
}

bool machine_is_locked(void)
{
    return is_mine;
}
