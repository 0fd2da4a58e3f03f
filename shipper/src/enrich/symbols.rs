//! Names of kernel functions.

use blazesym::MaybeDefault;
use blazesym::symbolize::source::{Kernel, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// Addresses whose symbols are remembered. Stacks of one kernel have a few thousand distinct ones.
const REMEMBERED: usize = 16_384;

/// A function, and where in it an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Bare name.
    pub name: Arc<str>,
    /// Bytes from its start.
    pub offset: u64,
}

/// Something that knows the functions of a kernel.
pub trait SymbolSource {
    /// The function that `address` lies in.
    fn resolve(&self, address: u64) -> Option<Symbol>;
}

/// The running kernel's, from `/proc/kallsyms`.
pub struct KernelSymbols {
    symbolizer: Symbolizer,
    kernel: Source<'static>,
    remembered: RefCell<HashMap<u64, Option<Symbol>>>,
}

impl Default for KernelSymbols {
    fn default() -> Self {
        let kernel = Kernel {
            kallsyms: MaybeDefault::Default,
            vmlinux: MaybeDefault::None,
            kaslr_offset: Some(0),
            ..Kernel::default()
        };
        Self {
            symbolizer: Symbolizer::builder().enable_code_info(false).enable_inlined_fns(false).build(),
            kernel: Source::Kernel(kernel),
            remembered: RefCell::default(),
        }
    }
}

impl SymbolSource for KernelSymbols {
    fn resolve(&self, address: u64) -> Option<Symbol> {
        if let Some(symbol) = self.remembered.borrow().get(&address) {
            return symbol.clone();
        }
        let symbol = self.look_up(address);
        let mut remembered = self.remembered.borrow_mut();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(address, symbol.clone());
        symbol
    }
}

impl KernelSymbols {
    fn look_up(&self, address: u64) -> Option<Symbol> {
        match self.symbolizer.symbolize_single(&self.kernel, Input::AbsAddr(address)).ok()? {
            Symbolized::Sym(symbol) if symbol.addr != 0 => Some(Symbol {
                name: symbol.name.as_ref().into(),
                offset: address.saturating_sub(symbol.addr),
            }),
            _ => None,
        }
    }
}

/// No symbols: `enrich.symbols = false`.
pub struct NoSymbols;

impl SymbolSource for NoSymbols {
    fn resolve(&self, _address: u64) -> Option<Symbol> {
        None
    }
}

/// Symbols for tests, by start address.
#[cfg(test)]
#[derive(Clone, Debug, Default)]
pub(crate) struct FixedSymbols(std::collections::BTreeMap<u64, Arc<str>>);

#[cfg(test)]
impl FixedSymbols {
    /// From start addresses and names.
    pub(crate) fn new<'a>(symbols: impl IntoIterator<Item = (u64, &'a str)>) -> Self {
        Self(symbols.into_iter().map(|(start, name)| (start, name.into())).collect())
    }
}

#[cfg(test)]
impl SymbolSource for FixedSymbols {
    fn resolve(&self, address: u64) -> Option<Symbol> {
        let (start, name) = self.0.range(..=address).next_back()?;
        Some(Symbol { name: name.clone(), offset: address - start })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Holds with and without the right to see addresses: what cannot be known is absent.
    #[test]
    fn kernel_functions_have_names_where_the_kernel_shows_them() {
        let kallsyms = std::fs::read_to_string("/proc/kallsyms").unwrap();
        let line = kallsyms.lines().find(|line| line.ends_with(" tcp_v4_rcv")).unwrap();
        let address = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
        let symbol = KernelSymbols::default().resolve(address + 5);
        let expected = (address != 0).then(|| Symbol { name: "tcp_v4_rcv".into(), offset: 5 });
        assert_eq!(symbol, expected);
    }
}
