//! What a disk says of its nodes, and changes of their names.

use super::disk::{Disk, Kind, ROOT};
use super::errno::{EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY};
use crate::backend::Metadata;

/// Bytes that are allocated together.
const BLOCK: u64 = 512;

impl Disk {
    pub(super) fn metadata(&mut self, number: u64) -> Result<Metadata, i32> {
        let kind = self.kind_of(number);
        let node = self.node(number)?;
        let (size, links) = match &node.kind {
            Kind::File(content) => (content.bytes.len() as u64, node.links),
            Kind::Directory { names, .. } => (names.len() as u64, 2),
            Kind::Link(target) => (target.len() as u64, node.links),
            Kind::Socket => (0, node.links),
        };
        Ok(Metadata {
            kind,
            size,
            mode: node.mode,
            modified_seconds: node.modified.seconds,
            modified_nanoseconds: node.modified.nanoseconds,
            device: 1,
            inode: number,
            links,
            allocated: size.next_multiple_of(BLOCK),
            owner: node.owner,
            group: node.group,
            accessed: node.accessed,
            changed: node.changed,
            direct: None,
        })
    }

    pub(super) fn remove(&mut self, path: &[u8], directory: bool, now: u64) -> Result<(), i32> {
        let found = self.find(ROOT, path, false)?;
        let node = found.node.ok_or(ENOENT)?;
        match (directory, self.is_directory(node)) {
            (false, true) => return Err(EISDIR),
            (true, false) => return Err(ENOTDIR),
            (true, true) if !self.names(node)?.is_empty() => return Err(ENOTEMPTY),
            _ if found.name.is_empty() => return Err(EINVAL),
            _ => {}
        }
        self.change_names(vec![(found.directory, found.name, None)], now);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &[u8], to: &[u8], replace: bool, now: u64) -> Result<(), i32> {
        let (from, to) = (self.find(ROOT, from, false)?, self.find(ROOT, to, false)?);
        let node = from.node.ok_or(ENOENT)?;
        if from.name.is_empty() || to.name.is_empty() {
            return Err(EINVAL);
        }
        if let Some(target) = to.node {
            if !replace {
                return Err(EEXIST);
            }
            match (self.is_directory(node), self.is_directory(target)) {
                _ if target == node => return Ok(()),
                (true, false) => return Err(ENOTDIR),
                (false, true) => return Err(EISDIR),
                (true, true) if !self.names(target)?.is_empty() => return Err(ENOTEMPTY),
                _ => {}
            }
        }
        let mut above = to.directory;
        while above != ROOT {
            if above == node {
                return Err(EINVAL);
            }
            let Kind::Directory { parent, .. } = &self.node(above)?.kind else { break };
            above = *parent;
        }
        // The new name first: a file without any name would be given up.
        self.change_names(vec![(to.directory, to.name, Some(node)), (from.directory, from.name, None)], now);
        Ok(())
    }
}
