//! The call of a kernel function in the program, `bpf_rdonly_cast()`, which the loader library does not fit to the kernel.
//!
//! It lets the program read packets without a helper, and costs no instruction of its own. Linux has it from 6.2 on.

use crate::btf::Btf;

/// The function (kernel/bpf/helpers.c).
const FUNCTION: &str = "bpf_rdonly_cast";

/// An instruction (`Documentation/bpf/standardization/instruction-set.rst`): operation, registers, offset, immediate.
type Instruction = [u8; 8];

/// The call as the compiler leaves it, see `CAST()` in `bpf/bpf_helpers.h`: of a kernel function, with a mark for its id.
const MARKED: Instruction = *b"\x85\x20\0\0nodr";
/// `r0 = r1`, where the function is not called.
const COPY: Instruction = *b"\xbf\x10\0\0\0\0\0\0";

/// The function's id in the kernel's BTF; `None` if it has none.
pub(super) fn function_id(kernel: &Btf) -> Option<u32> {
    kernel.function_id(FUNCTION)
}

/// The object with the calls fitted to a kernel. Without the function, the verifier never gets to where it would be called,
/// but some kernels refuse the sight of it.
pub(super) fn fitted(object: &[u8], function: Option<u32>) -> Vec<u8> {
    let call = function.map_or(COPY, |id| {
        let [operation, registers, ..] = MARKED;
        let [a, b, c, d] = id.to_le_bytes();
        [operation, registers, 0, 0, a, b, c, d]
    });
    let mut fitted = object.to_vec();
    // Sections with instructions, and so instructions, begin at multiples of eight.
    let (instructions, _) = fitted.as_chunks_mut();
    for instruction in instructions.iter_mut().filter(|instruction| **instruction == MARKED) {
        *instruction = call;
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::OBJECT;

    fn count(object: &[u8], wanted: Instruction) -> usize {
        object.windows(wanted.len()).filter(|bytes| **bytes == wanted).count()
    }

    #[test]
    fn every_call_gets_the_functions_id_or_goes() {
        let marks = count(OBJECT, MARKED);
        assert!(marks > 0);
        let with = fitted(OBJECT, Some(0x0001_0203));
        assert_eq!((count(&with, MARKED), count(&with, *b"\x85\x20\0\0\x03\x02\x01\0")), (0, marks));
        let without = fitted(OBJECT, None);
        assert_eq!((count(&without, MARKED), without.len()), (0, OBJECT.len()));
        assert_eq!(count(&without, COPY), count(OBJECT, COPY) + marks);
    }
}
