//! The types whose objects programs hold references to, by name.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use proact::status::Code;

use crate::error::{Error, Result};
use crate::invocation::Invocation;
use crate::standard::invocation::FunctionReference;
use crate::value::{Buffer, List, Object, Ref};

/// A registry of types that contexts share. A clone is the same one; any thread may use it.
///
/// ```
/// use proact_vm::{Instance, Object, Ref};
///
/// struct Camera;
/// impl Object for Camera {
///     const TYPE_NAME: &'static str = "studio.camera";
/// }
///
/// let instance = Instance::new();
/// let camera = instance.register::<Camera>()?;
/// assert!(instance.lookup("studio.camera").is_some_and(|found| found.matches(&Ref::new(Camera))));
/// assert_eq!(camera.name(), "studio.camera");
/// # Ok::<(), proact_vm::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Instance(Arc<RwLock<HashMap<String, Entry>>>);

#[derive(Debug)]
struct Entry {
    reference_type: ReferenceType,
    /// How often it was registered.
    count: usize,
}

/// A registered type, or the place of one that is known by its name alone.
#[derive(Clone, Debug)]
pub struct ReferenceType {
    name: Arc<str>,
    id: Option<TypeId>,
}

impl ReferenceType {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a place that no Rust type has taken: nothing matches it but null.
    pub fn is_placeholder(&self) -> bool {
        self.id.is_none()
    }

    /// Whether the reference is null or of this type.
    pub fn matches(&self, reference: &Ref) -> bool {
        reference.is_null() || (self.id.is_some() && reference.type_id() == self.id)
    }
}

impl Default for Instance {
    fn default() -> Instance {
        Instance::new()
    }
}

impl Instance {
    /// Types in a registry at most: names may come from files.
    pub const TYPES_MAX: usize = 1 << 16;

    /// A registry with `vm.buffer`, `vm.list`, `proact.semaphore`, `proact.frontier`, `proact.tracker`,
    /// `proact.invocation` and `proact.function`.
    pub fn new() -> Instance {
        let instance = Instance(Arc::default());
        for (name, id) in [
            (Buffer::TYPE_NAME, TypeId::of::<Buffer>()),
            (List::TYPE_NAME, TypeId::of::<List>()),
            (proact::sync::Semaphore::TYPE_NAME, TypeId::of::<proact::sync::Semaphore>()),
            (proact::causal::Frontier::TYPE_NAME, TypeId::of::<proact::causal::Frontier>()),
            (proact::sync::Tracker::TYPE_NAME, TypeId::of::<proact::sync::Tracker>()),
            (Invocation::TYPE_NAME, TypeId::of::<Invocation>()),
            (FunctionReference::TYPE_NAME, TypeId::of::<FunctionReference>()),
        ] {
            let reference_type = ReferenceType { name: name.into(), id: Some(id) };
            instance.lock().insert(name.into(), Entry { reference_type, count: 1 });
        }
        instance
    }

    /// Registers a type by its name, or counts it once more. `ALREADY_EXISTS` when another Rust type has the name.
    pub fn register<T: Object>(&self) -> Result<ReferenceType> {
        self.enter(T::TYPE_NAME, Some(TypeId::of::<T>()))
    }

    /// The type of that name, or a place for it until it is registered. Counted as [`Instance::register`] is.
    pub fn register_placeholder(&self, name: &str) -> Result<ReferenceType> {
        self.enter(name, None)
    }

    /// Takes one registration back; with the last one the name is free. `NOT_FOUND` when there is none.
    pub fn unregister(&self, name: &str) -> Result {
        let mut types = self.lock();
        let Some(entry) = types.get_mut(name) else {
            return Err(Error::new(Code::NotFound, format!("no type {name:?} is registered")));
        };
        entry.count -= 1;
        if entry.count == 0 {
            types.remove(name);
        }
        Ok(())
    }

    /// The type of that name, if it is registered.
    pub fn lookup(&self, name: &str) -> Option<ReferenceType> {
        let types = self.0.read().unwrap_or_else(PoisonError::into_inner);
        types.get(name).map(|entry| entry.reference_type.clone())
    }

    fn enter(&self, name: &str, id: Option<TypeId>) -> Result<ReferenceType> {
        let mut types = self.lock();
        if let Some(entry) = types.get_mut(name) {
            match (entry.reference_type.id, id) {
                (Some(known), Some(id)) if known != id => {
                    return Err(Error::new(Code::AlreadyExists, format!("another type is {name:?}")));
                }
                (None, Some(id)) => entry.reference_type.id = Some(id),
                _ => {}
            }
            entry.count += 1;
            return Ok(entry.reference_type.clone());
        }
        if types.len() == Instance::TYPES_MAX {
            return Err(Error::new(Code::ResourceExhausted, "too many types"));
        }
        let reference_type = ReferenceType { name: name.into(), id };
        types.insert(name.into(), Entry { reference_type: reference_type.clone(), count: 1 });
        Ok(reference_type)
    }

    fn lock(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Entry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
