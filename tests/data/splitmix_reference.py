"""SplitMix64 written anew from its authors' code: the truth that random words are held to."""


def reference(state: int, count: int) -> list[int]:
    """SplitMix64 as its authors' C code writes it, in unbounded integers."""
    outputs, full = [], 2**64 - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & full
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & full
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & full
        outputs.append(z ^ (z >> 31))
    return outputs


def reference_word(*parts: int) -> int:
    state = 0
    for part in parts:
        state = reference(state ^ (part & (2**64 - 1)), 1)[0]
    return state
