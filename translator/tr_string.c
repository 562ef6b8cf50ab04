/* MOVS STOS LODS SCAS CMPS, with and without REP, on flat segments.
 *
 * RSI and RDI become host pointers for the instruction: the window's base is 4 GiB aligned, so taking
 * the low half restores them, also when a fault or an interrupt stops the instruction in the middle
 * (ROW_STRING). Everything else (other segments, 16-bit addressing) is the interpreter's.
 */
#include "tr.h"

bool tr_string(struct tr *t, const struct ginsn *g)
{
    struct emit *e = &t->e;
    uint8_t op = g->opcode & 0xfe;
    bool si = op == 0xa4 || op == 0xa6 || op == 0xac;
    bool di = op != 0xac;
    if (g->adsize != 32 || (si && (g->seg == SEG_CS || t->shape[g->seg] != SHAPE_FLAT)) ||
        (di && t->shape[SEG_ES] != SHAPE_FLAT))
        return false;
    struct hmem src = {.base = R14, .index = RSI}, dst = {.base = R14, .index = RDI};
    if (si)
        emit_lea64(e, RSI, &src);
    if (di)
        emit_lea64(e, RDI, &dst);
    tr_row(t, ROW_STRING, 0);
    emit_hop(e, &(struct hop){.rep = g->rep, .p66 = (g->opcode & 1) && g->opsize == 16, .opcode = g->opcode});
    tr_row(t, ROW_GLUE, 0);
    if (si)
        emit_mov_rr(e, RSI, RSI);
    if (di)
        emit_mov_rr(e, RDI, RDI);
    return true;
}
