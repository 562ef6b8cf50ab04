/* Guest code whose translation is committed in expected.txt. One case, one block (it ends where the
 * translator ends it). Each is there for one form of emitted code. */
#define CASE(name) .pushsection .case.name, "ax"; .code32
#define CASE16(name) .pushsection .case16.name, "ax"; .code16
#define END .popsection

CASE(alu_reg);        add %ebx, %eax; xor %ecx, %edx; ret; END
CASE(load_base);      mov (%eax), %edx; ret; END
CASE(load_base_disp); mov 8(%eax), %edx; ret; END
CASE(load_index);     mov 8(%eax,%ecx,4), %edx; ret; END
CASE(load_absolute);  mov 0x8123456, %edx; ret; END
CASE(load_ebp);       mov (%ebp), %edx; ret; END
CASE(moffs);          mov 0xc1234567, %eax; mov %eax, 0xc1234568; ret; END
CASE(store_imm);      movl $5, 4(%ebx); movb $7, (%esi); movw $9, 2(%edi); ret; END
CASE(rmw_locked);     lock addl $1, (%edx); lock cmpxchg %ecx, (%ebx); ret; END
CASE(esp_relative);   mov 4(%esp), %eax; mov %eax, (%esp); ret; END
CASE(push_pop);       push %ebx; push $1; push 4(%esp); pop %ecx; pop (%edx); pop %ebx; ret; END
CASE(push_esp);       push %esp; pop %esp; ret; END
CASE(frame);          push %ebp; mov %esp, %ebp; sub $24, %esp; mov %eax, -4(%ebp); leave; ret; END
CASE(esp_lazy_dead);  sub $12, %esp; mov %eax, (%esp); add $12, %esp; test %eax, %eax; ret; END
CASE(esp_sub_live);   sub $12, %esp; jc 1f; nop; 1: ret; END
CASE(esp_align);      and $-16, %esp; ret; END
CASE(esp_lea);        lea 8(%esp), %esp; lea 4(%esp), %eax; ret; END
CASE(inc_dec_short);  inc %eax; dec %esp; inc %cx; ret; END
CASE(xchg_ax);        xchg %eax, %esp; xchg %ax, %bx; ret; END
CASE(bswap);          bswap %ecx; ret; END
CASE(mov_imm);        mov $-1, %eax; mov $3, %ah; mov $0x1234, %bx; mov $0x8000, %esp; ret; END
CASE(high_byte);      mov %ah, 4(%ebx); add 1(%ecx), %dh; ret; END
CASE(high_byte_esp);  mov %ah, 4(%esp); cmp %bh, (%esp,%ebx); ret; END
CASE(movzx);          movzbl %ah, %eax; movzwl 2(%ecx), %edx; movsbl (%esi), %edi; ret; END
CASE(shifts);         shl $3, %eax; sarl %cl, 4(%ebx); rcl $1, %edx; shld $4, %eax, %edx; ret; END
CASE(muldiv);         mul %ecx; imul $100, (%ebx), %eax; divl 4(%esp); cltd; idiv %ecx; ret; END
CASE(bits);           bt %eax, (%ebx); bts $3, %ecx; bsf %eax, %edx; ret; END
CASE(setcc_cmov);     cmp %eax, %ebx; sete %cl; cmovl %eax, %edx; ret; END
CASE(jcc_forward);    test %eax, %eax; je 1f; inc %ebx; 1: inc %ecx; ret; END
CASE(loop_inside);    xor %eax, %eax; 1: add (%ebx,%ecx,4), %eax; dec %ecx; jne 1b; ret; END
CASE(fused_flush);    push %eax; cmp %ecx, %edx; jb 1f; pop %eax; 1: ret; END
CASE(loop_insn);      1: add %ecx, %eax; loop 1b; jecxz 2f; inc %edx; 2: ret; END
CASE(else_part);      test %eax, %eax; je 1f; inc %ebx; ret; nop; 1: inc %ecx; jmp 2f; nop; 2: ret; END
CASE(loop_of_two);    1: dec %ecx; je 3f; test $1, %cl; jne 2f; inc %eax; jmp 1b; ud2; 2: inc %edx; jmp 1b; 3: ret; END
CASE(switch_tail);    add %ecx, %ebx; jmp 1f; ud2; 1: movzbl (%esi), %eax; cmp $9, %al; ja . + 0x100; jmp *8(,%eax,4); END
CASE(pc_thunk);       push %ebx; call 1f; add $0x100, %ebx; pop %ebx; ret; 1: mov (%esp), %ebx; ret; END
CASE(jmp_near);       jmp . + 0x100; END
CASE(jmp_far_page);   jmp . + 0x5000; END
CASE(jmp_indirect);   jmp *(%eax,%ecx,4); END
CASE(jmp_register);   jmp *%edx; END
CASE(call_direct);    call . + 0x400; add $4, %esp; ret; END
CASE(call_flags_live); call . + 0x400; jc 1f; nop; 1: ret; END
CASE(call_indirect);  call *8(%ebx); test %eax, %eax; ret; END
CASE(call_register);  call *%eax; ret; END
CASE(call_pic);       call 1f; 1: pop %ebx; ret; END
CASE(ret_imm);        ret $8; END
CASE(rep_movs);       rep movsl; ret; END
CASE(rep_stos);       cld; rep stosb; ret; END
CASE(scas_cmps);      repne scasb; repe cmpsl; lodsl; ret; END
CASE(xlat);           xlatb; ret; END
CASE(pusha_popa);     pusha; popa; ret; END
CASE(gs_tls);         mov %gs:0, %eax; mov %gs:4(%eax,%ebx), %ecx; ret; END
CASE(fs_percpu);      incl %fs:0x1234; mov %fs:(%eax), %edx; ret; END
CASE(cli_sti);        cli; sti; xor %eax, %eax; ret; END
CASE(pushf_cli_popf); pushf; pop %eax; cli; push %eax; popf; ret; END
CASE(mov_cr);         mov %cr2, %eax; mov %cr3, %ecx; ret; END
CASE(mov_seg);        mov %ds, %eax; push %fs; push %es; ret; END
CASE(rdtsc);          rdtsc; add %eax, %ebx; ret; END
CASE(in_out);         inc %eax; in (%dx), %al; ret; END
CASE(x87);            fldl 8(%esp); fmul %st(1), %st; fstpl (%eax); ret; END
CASE(sse);            movaps (%eax), %xmm0; addps %xmm1, %xmm0; cvttsd2si %xmm0, %esp; movd %esp, %xmm2; ret; END
CASE(mmx);            movq (%eax), %mm0; paddb %mm1, %mm0; pmovmskb %mm0, %eax; emms; ret; END
CASE(addr16_in_32);   addr16 mov 4(%bx,%si), %eax; ret; END
CASE(opsize_16);      addw $3, (%eax); mov %ax, %bx; push %cx; ret; END
CASE16(real_mov);     mov 4(%bx), %ax; mov %ax, %es:(%di); ret; END
CASE16(real_push);    push %ax; pop %bx; call . + 0x20; END
CASE16(real_jcc);     cmp %ax, %bx; mov (%si), %cx; jb 1f; inc %dx; 1: loop 1b; ret; END
CASE16(real_cs);       movb %cs:4(%bx), %al; xlat; ret; END
CASE16(real_string);   lodsb; stosw; ret; END
CASE16(real_rep);      rep movsw; ret; END
CASE16(real_ret32);    .byte 0x66; ret; END
CASE16(real_call);     call . + 0x40; ret; END
CASE16(real_seg);      mov %ax, %es; mov 4(%bx), %ds; pop %es; ret; END
CASE16(real_les);      les 4(%bx), %di; lds (%si), %si; ret; END
CASE16(real_lcall);    lcall $0x1234, $0x100; END
CASE16(real_lcall_m);  lcall *4(%bx); END
CASE16(real_ljmp);     ljmp $0x1234, $0x100; END
CASE16(real_lret);     lret $4; END
