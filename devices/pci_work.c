/* When bus masters get the bus: see pci_work_new in pci.h. */
#include "pci.h"
#include "vclock.h"

struct pci_work {
    struct pci_device *dev;
    void (*fn)(void *opaque);
    void *opaque;
    bool asked;
};

struct pci_work *pci_work_new(struct pci_device *dev, void (*fn)(void *opaque), void *opaque)
{
    struct pci_work *work = g_new0(struct pci_work, 1);
    *work = (struct pci_work){dev, fn, opaque, false};
    return work;
}

static void request(struct pci_works *works, struct pci_bus *bus)
{
    if (works->request.set) {
        irq_set(&works->request, true);
        return;
    }
    if (!works->timer)
        works->timer = vtimer_new(pci_bus_granted, bus, "pci");
    vtimer_arm(works->timer, vclock_now());
}

void pci_work_ask(struct pci_work *work)
{
    if (work->asked || !work->dev->bus)
        return;
    struct pci_works *works = pci_bus_works(work->dev->bus);
    if (!works->all)
        works->all = g_ptr_array_new();
    work->asked = true;
    g_ptr_array_add(works->all, work);
    request(works, work->dev->bus);
}

void pci_work_cancel(struct pci_work *work)
{
    if (work->asked)
        g_ptr_array_remove(pci_bus_works(work->dev->bus)->all, work);
    work->asked = false;
}

bool pci_work_is_asked(const struct pci_work *work)
{
    return work->asked;
}

void pci_work_free(struct pci_work *work)
{
    if (!work)
        return;
    pci_work_cancel(work);
    g_free(work);
}

/* Those that are there now: what they ask for meanwhile is for the next time. */
void pci_bus_granted(void *bus)
{
    struct pci_works *works = pci_bus_works(bus);
    for (unsigned left = works->all ? works->all->len : 0; left && works->all->len; left--) {
        struct pci_work *work = g_ptr_array_index(works->all, 0);
        g_ptr_array_remove_index(works->all, 0);
        work->asked = false;
        work->fn(work->opaque);
    }
}

void pci_bus_set_request(struct pci_bus *bus, struct irq wire)
{
    pci_bus_works(bus)->request = wire;
}

void pci_works_clear(struct pci_works *works)
{
    if (works->all)
        g_ptr_array_unref(works->all);
    if (works->timer)
        vtimer_free(works->timer);
}
