//! What the running kernel's verifier says of each program, those included that this kernel would not be given.

use super::cast;
use super::refused_syn;
use super::variant::VARIANTS;
use super::{DROP_FUNCTION, DROP_FUNCTION_PROGRAM, OBJECT, TRACEPOINT};
use crate::config::model;
use crate::probe::ProbeError;
use aya::programs::{BtfTracePoint, FEntry, FExit, Iter, Program, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};

/// A program that was loaded, and let go again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its name in the object.
    pub program: &'static str,
    /// Instructions that the verifier looked at, if the kernel took it; from Linux 5.16 on it says how many. Its limit is a
    /// million. Else why not.
    pub outcome: Result<Option<u32>, String>,
}

/// Loads each program of both objects by itself.
///
/// # Errors
/// If the objects cannot be prepared for this kernel at all.
pub fn verify_all() -> Result<Vec<Verified>, ProbeError> {
    let settings = model::Probe::default();
    let btf = Btf::from_sys_fs().map_err(|error| ProbeError::of_load(error.into(), &settings))?;
    let cast = crate::btf::Btf::of_kernel().ok().and_then(|kernel| cast::function_id(&kernel));
    let load = |object: &[u8]| {
        let loaded = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("has_cast", &u8::from(cast.is_some()), false)
            .load(object);
        loaded.map_err(|error| ProbeError::of_load(error, &settings))
    };
    let (mut drops, mut refused) = (load(&cast::fitted(OBJECT, cast))?, load(refused_syn::OBJECT)?);
    let variants = VARIANTS.iter().map(|variant| (variant.program, TRACEPOINT));
    let of_drops = variants.chain([(DROP_FUNCTION_PROGRAM, DROP_FUNCTION)]);
    let mut all: Vec<_> = of_drops.map(|(name, target)| verify(&mut drops, name, target, &btf)).collect();
    let targets = refused_syn::PROGRAMS.iter();
    all.extend(targets.map(|(name, target)| verify(&mut refused, name, target, &btf)));
    Ok(all)
}

fn verify(ebpf: &mut Ebpf, program: &'static str, target: &str, btf: &Btf) -> Verified {
    let outcome = match ebpf.program_mut(program) {
        Some(program) => load(program, target, btf).map_err(|error| one_line(&error)),
        None => Err("the object does not have it".to_owned()),
    };
    Verified { program, outcome }
}

fn load(program: &mut Program, target: &str, btf: &Btf) -> Result<Option<u32>, ProgramError> {
    match program {
        Program::BtfTracePoint(program) => BtfTracePoint::load(program, target, btf)?,
        Program::FEntry(program) => FEntry::load(program, target, btf)?,
        Program::FExit(program) => FExit::load(program, target, btf)?,
        Program::Iter(program) => Iter::load(program, target, btf)?,
        _ => return Err(ProgramError::UnexpectedProgramType),
    }
    Ok(program.info()?.verified_instruction_count())
}

/// The cause, and of the verifier's log the last line.
fn one_line(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let last = log.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with("processed"));
            format!("{io_error}; {}", last.unwrap_or("without a word"))
        }
        error => error.to_string(),
    }
}
