"""How instructions are counted in machine code: the loops, and what is executed once in some steps."""

from benchmarks.machine_code import STEPS_TO_LOOK, innermost_loops

# Two loops, one inside the other, and a third around both.
LOOPS = """
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/                   IADD3 R2, R2, 0x1, RZ ;
        /*0020*/                   LDS R3, [R2] ;
        /*0030*/                   FFMA R4, R3, R3, R4 ;
        /*0040*/               @P1 BRA 0x60 ;
        /*0050*/                   STS [R2], R4 ;
        /*0060*/              @!P2 BRA 0x20 ;
        /*0070*/                   FADD R5, R4, R5 ;
        /*0080*/                   FMNMX R6, R5, R6, !PT ;
        /*0090*/               @P3 BRA 0x10 ;
        /*00a0*/               @P4 BRA 0x0 ;
        /*00b0*/                   EXIT ;
"""


def test_the_innermost_loop_is_counted() -> None:
    (loop,) = innermost_loops(LOOPS)
    assert dict(loop.kinds) == {"LDS": 1, "FFMA": 1, "BRA": 2, "STS": 1}
    assert loop.floating == 1
    assert loop.instructions == 5


def test_the_loop_around_counts_for_the_steps_that_take_it() -> None:
    """The addition and the comparison are a look at the edges."""
    (loop,) = innermost_loops(LOOPS)
    assert dict(loop.around) == {"IADD3": 1, "FADD": 1, "FMNMX": 1, "BRA": 1}
    assert loop.looked == 5 + 4 / STEPS_TO_LOOK
