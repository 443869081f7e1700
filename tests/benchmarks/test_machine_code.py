"""How instructions are counted in machine code: the loops, and what is not executed in every step."""

from benchmarks.machine_code import STEPS_TO_LOOK, innermost_loops

# Two loops, one inside the other; the inner one jumps over an addition and over a store.
LOOPS = """
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/                   IADD3 R2, R2, 0x1, RZ ;
        /*0020*/                   LDS R3, [R2] ;
        /*0030*/                   FFMA R4, R3, R3, R4 ;
        /*0040*/               @P0 BRA 0x70 ;
        /*0050*/                   FADD R5, R4, R5 ;
        /*0060*/                   FMNMX R6, R5, R6, !PT ;
        /*0070*/               @P1 BRA 0x90 ;
        /*0080*/                   STS [R2], R4 ;
        /*0090*/              @!P2 BRA 0x20 ;
        /*00a0*/               @P3 BRA 0x10 ;
        /*00b0*/                   EXIT ;
"""


def test_the_innermost_loop_is_counted() -> None:
    (loop,) = innermost_loops(LOOPS)
    assert dict(loop.kinds) == {"LDS": 1, "FFMA": 1, "BRA": 3, "FADD": 1, "FMNMX": 1, "STS": 1}
    assert loop.floating == 2


def test_what_is_jumped_over_counts_for_the_steps_that_take_it() -> None:
    """The addition and the comparison are a look at the edges; the store is made at every step, if by one lane."""
    (loop,) = innermost_loops(LOOPS)
    assert dict(loop.rare) == {"FADD": 1, "FMNMX": 1}
    assert loop.instructions == 6 + 2 / STEPS_TO_LOOK
