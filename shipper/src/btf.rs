//! A small reader of BTF, the type information of kernels and BPF objects
//! (`Documentation/bpf/btf.rst` in the kernel's sources).
//!
//! It reads what the agent asks for: names of enum members, layouts of structs, parameters of functions. Any bytes may
//! be given to it; what does not make sense is an error or `None`.
//!
//! A module's BTF is split: its type ids and string offsets go on where those of the kernel's end.

pub mod reasons;

use std::io;
use std::sync::Arc;

/// Where a running kernel shows its BTF.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const TYPE_SIZE: usize = 12;
/// Longer chains of typedefs and arrays than this are taken for circles.
const MAX_CHAIN: usize = 32;
/// `KSYM_NAME_LEN` of the kernel.
const MAX_NAME: usize = 512;

/// Why bytes are no BTF.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BtfError {
    #[error("cannot read {path}: {0}", path = KERNEL_BTF)]
    Unreadable(#[from] io::Error),
    #[error("the bytes do not begin as BTF of this machine's byte order does")]
    Magic,
    #[error("the BTF is cut short or contradicts itself at byte {0}")]
    Damaged(usize),
    #[error("the BTF has types of the kind {0}, which this version does not know")]
    Kind(u8),
}

/// BTF, indexed.
#[derive(Debug)]
pub struct Btf {
    bytes: Vec<u8>,
    /// Offset in `bytes` of each type. The first has the id 1, or the one after the last of `base`.
    types: Vec<u32>,
    strings: std::ops::Range<usize>,
    /// What a module's BTF continues.
    base: Option<Arc<Btf>>,
}

/// A member of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name; empty for an anonymous one.
    pub name: String,
    /// Distance from the start of the struct, in bytes.
    pub offset: usize,
    /// Size of its type in bytes, where it has one.
    pub size: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Pointer,
    Array,
    Struct,
    Union,
    Enum,
    Enum64,
    Function,
    FunctionPrototype,
    Typedef,
    /// `const`, `volatile`, `restrict`, type tags: they refer to another type and change nothing here.
    Qualifier,
    Other,
}

#[derive(Clone, Copy)]
struct Type {
    kind: Kind,
    name: u32,
    members: usize,
    /// Whether struct members pack a bit field's size with their offset.
    kind_flag: bool,
    /// Size in bytes, or id of the type referred to.
    size_or_id: u32,
    /// Where what follows the fixed part begins.
    body: usize,
}

impl Type {
    /// Whether it is an enum with members; without, it is a declaration only.
    fn is_defined_enum(&self) -> bool {
        matches!(self.kind, Kind::Enum | Kind::Enum64) && self.members > 0
    }
}

impl Kind {
    /// The kind with the number `number`, and the bytes that follow the fixed part for `members` members.
    fn from_number(number: u8, members: usize) -> Option<(Self, usize)> {
        Some(match number {
            1 => (Self::Int, 4),
            2 => (Self::Pointer, 0),
            3 => (Self::Array, 12),
            4 => (Self::Struct, members * 12),
            5 => (Self::Union, members * 12),
            6 => (Self::Enum, members * 8),
            8 => (Self::Typedef, 0),
            9 | 10 | 11 | 18 => (Self::Qualifier, 0),
            12 => (Self::Function, 0),
            13 => (Self::FunctionPrototype, members * 8),
            7 | 16 => (Self::Other, 0),
            14 | 17 => (Self::Other, 4),
            15 => (Self::Other, members * 12),
            19 => (Self::Enum64, members * 12),
            _ => return None,
        })
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    Some(u32::from_ne_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

impl Btf {
    /// The running kernel's.
    ///
    /// # Errors
    /// If the kernel shows none, or one of a form that is not known.
    pub fn of_kernel() -> Result<Self, BtfError> {
        Self::parse(std::fs::read(KERNEL_BTF)?)
    }

    /// Indexes `bytes`: the content of the kernel's file, or of an object's section `.BTF`.
    ///
    /// # Errors
    /// If they are not BTF.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        Self::index(bytes, None)
    }

    /// Indexes `bytes`, the content of a module's file, which continues `kernel`.
    ///
    /// # Errors
    /// If they are not BTF.
    pub fn parse_split(bytes: Vec<u8>, kernel: &Arc<Self>) -> Result<Self, BtfError> {
        Self::index(bytes, Some(kernel.clone()))
    }

    fn index(bytes: Vec<u8>, base: Option<Arc<Self>>) -> Result<Self, BtfError> {
        if bytes.get(..2) != Some(&MAGIC.to_ne_bytes()) {
            return Err(BtfError::Magic);
        }
        let field = |offset: usize| {
            let value = u32_at(&bytes, offset).ok_or(BtfError::Damaged(offset))?;
            usize::try_from(value).map_err(|_| BtfError::Damaged(offset))
        };
        let section = |offset: usize| {
            let start = field(4)?.checked_add(field(offset)?);
            start
                .and_then(|start| Some(start..start.checked_add(field(offset + 4).ok()?)?))
                .filter(|range| range.end <= bytes.len())
                .ok_or(BtfError::Damaged(offset))
        };
        let types_section = section(8)?;
        let strings = section(16)?;

        let mut types = Vec::new();
        let mut offset = types_section.start;
        while offset < types_section.end {
            types.push(u32::try_from(offset).map_err(|_| BtfError::Damaged(offset))?);
            offset = type_end(&bytes, offset)?;
        }
        if offset != types_section.end {
            return Err(BtfError::Damaged(offset));
        }
        Ok(Self { bytes, types, strings, base })
    }

    /// The members of the enum `name` with their values. Negative values come as in two's complement.
    pub fn enum_members(&self, name: &str) -> Option<Vec<(String, u64)>> {
        self.enum_members_of(self.find(name, Type::is_defined_enum)?)
    }

    /// The members of all enums whose names end in `ending`, those of `base` left out.
    pub fn enums_ending_in(&self, ending: &str) -> Vec<(String, u64)> {
        let is_meant = |ty: &Type| self.string(ty.name).is_some_and(|name| name.ends_with(ending.as_bytes()));
        let enums = self.own_types().filter(Type::is_defined_enum).filter(is_meant);
        enums.filter_map(|ty| self.enum_members_of(ty)).flatten().collect()
    }

    fn enum_members_of(&self, found: Type) -> Option<Vec<(String, u64)>> {
        let width = if found.kind == Kind::Enum { 8 } else { 12 };
        (0..found.members)
            .map(|index| {
                let at = found.body + index * width;
                let low = u32_at(&self.bytes, at + 4)?;
                let high = if width == 12 { u32_at(&self.bytes, at + 8)? } else { 0 };
                let name = String::from_utf8_lossy(self.string(u32_at(&self.bytes, at)?)?).into_owned();
                Some((name, u64::from(high) << 32 | u64::from(low)))
            })
            .collect()
    }

    /// The members of the struct `name`, bit fields by the byte that they begin in.
    pub fn struct_members(&self, name: &str) -> Option<Vec<Member>> {
        let found = self.find(name, |ty| ty.kind == Kind::Struct)?;
        (0..found.members)
            .map(|index| {
                let at = found.body + index * 12;
                let position = u32_at(&self.bytes, at + 8)?;
                let bits = if found.kind_flag { position & 0x00ff_ffff } else { position };
                Some(Member {
                    name: String::from_utf8_lossy(self.string(u32_at(&self.bytes, at)?)?).into_owned(),
                    offset: usize::try_from(bits / 8).ok()?,
                    size: self.size_of(u32_at(&self.bytes, at + 4)?),
                })
            })
            .collect()
    }

    /// The size of the struct `name`, in bytes.
    pub fn struct_size(&self, name: &str) -> Option<usize> {
        usize::try_from(self.find(name, |ty| ty.kind == Kind::Struct)?.size_or_id).ok()
    }

    /// How many parameters the functions have that the typedef `name` stands for, or points to.
    pub fn parameter_count(&self, name: &str) -> Option<usize> {
        let mut current = self.find(name, |ty| ty.kind == Kind::Typedef)?;
        for _ in 0..MAX_CHAIN {
            match current.kind {
                Kind::FunctionPrototype => return Some(current.members),
                Kind::Typedef | Kind::Pointer | Kind::Qualifier => current = self.get(current.size_or_id)?,
                _ => return None,
            }
        }
        None
    }

    /// The id of the function `name`, if it is one of its own types.
    pub fn function_id(&self, name: &str) -> Option<u32> {
        let before = self.base.as_ref().map_or(0, |base| base.types.len());
        let is_meant = |ty: Type| ty.kind == Kind::Function && self.string(ty.name) == Some(name.as_bytes());
        let index = self.own_types().position(is_meant)?;
        u32::try_from(before + index + 1).ok()
    }

    fn own_types(&self) -> impl Iterator<Item = Type> {
        self.types.iter().filter_map(|&offset| type_at(&self.bytes, usize::try_from(offset).ok()?).ok())
    }

    /// The first of its own types with this name that fits.
    fn find(&self, name: &str, fits: impl Fn(&Type) -> bool) -> Option<Type> {
        self.own_types().find(|ty| fits(ty) && self.string(ty.name) == Some(name.as_bytes()))
    }

    /// The type with this id. Of a module's BTF only types of its own are looked into.
    fn get(&self, id: u32) -> Option<Type> {
        let before = self.base.as_ref().map_or(0, |base| base.types.len());
        let index = usize::try_from(id).ok()?.checked_sub(before + 1)?;
        type_at(&self.bytes, usize::try_from(*self.types.get(index)?).ok()?).ok()
    }

    fn string(&self, offset: u32) -> Option<&[u8]> {
        let offset = usize::try_from(offset).ok()?;
        let before = self.base.as_ref().map_or(0, |base| base.strings.len());
        let (btf, offset) = match &self.base {
            Some(base) if offset < before => (base.as_ref(), offset),
            _ => (self, offset - before),
        };
        let rest = btf.bytes.get(btf.strings.clone())?.get(offset..)?;
        rest[..rest.len().min(MAX_NAME)].split(|&byte| byte == 0).next()
    }

    fn size_of(&self, id: u32) -> Option<usize> {
        let mut id = id;
        let mut count = 1_usize;
        for _ in 0..MAX_CHAIN {
            let ty = self.get(id)?;
            match ty.kind {
                Kind::Int | Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 => {
                    return count.checked_mul(usize::try_from(ty.size_or_id).ok()?);
                }
                Kind::Pointer => return count.checked_mul(8),
                Kind::Array => {
                    count = count.checked_mul(usize::try_from(u32_at(&self.bytes, ty.body + 8)?).ok()?)?;
                    id = u32_at(&self.bytes, ty.body)?;
                }
                Kind::Typedef | Kind::Qualifier => id = ty.size_or_id,
                Kind::Function | Kind::FunctionPrototype | Kind::Other => return None,
            }
        }
        None
    }
}

fn type_at(bytes: &[u8], offset: usize) -> Result<Type, BtfError> {
    type_and_end(bytes, offset).map(|(ty, _)| ty)
}

fn type_end(bytes: &[u8], offset: usize) -> Result<usize, BtfError> {
    type_and_end(bytes, offset).map(|(_, end)| end)
}

fn type_and_end(bytes: &[u8], offset: usize) -> Result<(Type, usize), BtfError> {
    let field = |index: usize| u32_at(bytes, offset + index * 4).ok_or(BtfError::Damaged(offset));
    let info = field(1)?;
    let members = usize::try_from(info & 0xffff).map_err(|_| BtfError::Damaged(offset))?;
    let number = u8::try_from(info >> 24 & 0x1f).map_err(|_| BtfError::Damaged(offset))?;
    let (kind, body_size) = Kind::from_number(number, members).ok_or(BtfError::Kind(number))?;
    let body = offset + TYPE_SIZE;
    let end = body + body_size;
    if end > bytes.len() {
        return Err(BtfError::Damaged(offset));
    }
    let ty = Type { kind, name: field(0)?, members, kind_flag: info >> 31 == 1, size_or_id: field(2)?, body };
    Ok((ty, end))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
