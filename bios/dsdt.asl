/* The ACPI name space of the PC: PCI root with its interrupt routing, ISA devices, S5.
 * ACPI 1.0b. The macros are for the C preprocessor; then iasl, at build time. */
DefinitionBlock ("", "DSDT", 1, "RINGER", "RINGERPC", 0x00000001)
{
    Name (\_S5, Package (4) { Zero, Zero, Zero, Zero }) /* SLP_TYP 0: ACPI_SLP_TYP_S5 in acpi_pm.h */

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0x00000000, 0x000A0000, 0x000BFFFF, 0x00000000, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0x00000000, 0xE0000000, 0xFEBFFFFF, 0x00000000, 0x1EC00000)
            })

            /* Slot s, pin p goes to PIRQ (p + s - 1) mod 4, as pci.c wires it. */
            #define SLOT(s, a, b, c, d) \
                Package (4) { (s << 16) | 0xFFFF, 0, a, 0 }, Package (4) { (s << 16) | 0xFFFF, 1, b, 0 }, \
                Package (4) { (s << 16) | 0xFFFF, 2, c, 0 }, Package (4) { (s << 16) | 0xFFFF, 3, d, 0 }
            #define SLOTS0(s) SLOT (s, LNKD, LNKA, LNKB, LNKC)
            #define SLOTS1(s) SLOT (s, LNKA, LNKB, LNKC, LNKD)
            #define SLOTS2(s) SLOT (s, LNKB, LNKC, LNKD, LNKA)
            #define SLOTS3(s) SLOT (s, LNKC, LNKD, LNKA, LNKB)
            Name (_PRT, Package (128)
            {
                SLOTS0 (0x00), SLOTS1 (0x01), SLOTS2 (0x02), SLOTS3 (0x03),
                SLOTS0 (0x04), SLOTS1 (0x05), SLOTS2 (0x06), SLOTS3 (0x07),
                SLOTS0 (0x08), SLOTS1 (0x09), SLOTS2 (0x0A), SLOTS3 (0x0B),
                SLOTS0 (0x0C), SLOTS1 (0x0D), SLOTS2 (0x0E), SLOTS3 (0x0F),
                SLOTS0 (0x10), SLOTS1 (0x11), SLOTS2 (0x12), SLOTS3 (0x13),
                SLOTS0 (0x14), SLOTS1 (0x15), SLOTS2 (0x16), SLOTS3 (0x17),
                SLOTS0 (0x18), SLOTS1 (0x19), SLOTS2 (0x1A), SLOTS3 (0x1B),
                SLOTS0 (0x1C), SLOTS1 (0x1D), SLOTS2 (0x1E), SLOTS3 (0x1F)
            })

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 0x04)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 0x01, 0x02)
                        IRQNoFlags () { 8 }
                    })
                }
                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 0x01, 0x04)
                        IRQNoFlags () { 0 }
                    })
                }
                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0020, 0x0020, 0x01, 0x02)
                        IO (Decode16, 0x00A0, 0x00A0, 0x01, 0x02)
                        IO (Decode16, 0x04D0, 0x04D0, 0x01, 0x02)
                        IRQNoFlags () { 2 }
                    })
                }
                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                        IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                        IRQNoFlags () { 1 }
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F8, 0x03F8, 0x01, 0x08)
                        IRQNoFlags () { 4 }
                    })
                }

                /* The BIOS writes 0x55 here for what it finds (tables.c; acpi_tables.c for another BIOS). */
                Name (COM2, 0x2D)
                Name (LPTP, 0x2D)
                Name (FDCP, 0x2D)
                Device (SER2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Method (_STA, 0, NotSerialized) { If (COM2 == 0x55) { Return (0x0F) } Return (Zero) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x02F8, 0x02F8, 0x01, 0x08)
                        IRQNoFlags () { 3 }
                    })
                }
                Device (LPT1)
                {
                    Name (_HID, EisaId ("PNP0400"))
                    Method (_STA, 0, NotSerialized) { If (LPTP == 0x55) { Return (0x0F) } Return (Zero) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0378, 0x0378, 0x01, 0x08)
                        IRQNoFlags () { 7 }
                    })
                }
                Device (FDC0)
                {
                    Name (_HID, EisaId ("PNP0700"))
                    Method (_STA, 0, NotSerialized) { If (FDCP == 0x55) { Return (0x0F) } Return (Zero) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F2, 0x03F2, 0x01, 0x04)
                        IO (Decode16, 0x03F7, 0x03F7, 0x01, 0x01)
                        IRQNoFlags () { 6 }
                        DMA (Compatibility, NotBusMaster, Transfer8) { 2 }
                    })
                }
            }
        }

        Name (HPTP, 0x2D)
        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Method (_STA, 0, NotSerialized) { If (HPTP == 0x55) { Return (0x0F) } Return (Zero) }
            Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400) })
        }

        /* The four PIRQ wires: bit 7 of the PIIX3's route register turns one off. */
        #define LINK(name, uid, reg) \
            Device (name) \
            { \
                Name (_HID, EisaId ("PNP0C0F")) \
                Name (_UID, uid) \
                Name (_PRS, ResourceTemplate () { IRQ (Level, ActiveLow, Shared) { 5, 10, 11 } }) \
                Name (BUFF, ResourceTemplate () { IRQ (Level, ActiveLow, Shared) { 10 } }) \
                CreateWordField (BUFF, 1, MASK) \
                Method (_STA, 0, NotSerialized) \
                { \
                    If (\_SB.PCI0.ISA.reg & 0x80) { Return (0x09) } \
                    Return (0x0B) \
                } \
                Method (_DIS, 0, NotSerialized) { \_SB.PCI0.ISA.reg |= 0x80 } \
                Method (_CRS, 0, Serialized) \
                { \
                    MASK = Zero \
                    If (!(\_SB.PCI0.ISA.reg & 0x80)) { MASK = 1 << (\_SB.PCI0.ISA.reg & 0x0F) } \
                    Return (BUFF) \
                } \
                Method (_SRS, 1, NotSerialized) \
                { \
                    CreateWordField (Arg0, 1, WANT) \
                    FindSetRightBit (WANT, Local0) \
                    If (Local0) { \_SB.PCI0.ISA.reg = Local0 - 1 } \
                } \
            }
        LINK (LNKA, 1, PRQA)
        LINK (LNKB, 2, PRQB)
        LINK (LNKC, 3, PRQC)
        LINK (LNKD, 4, PRQD)
    }
}
