//! Counted references to objects of any type, with checked casts.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use proact::status::Code;

use crate::error::{Error, Result};

/// A type whose objects programs may hold references to.
///
/// ```
/// use std::sync::Arc;
/// use proact_vm::{Object, Ref};
///
/// struct Camera;
/// impl Object for Camera {
///     const TYPE_NAME: &'static str = "studio.camera";
/// }
///
/// let reference = Ref::new(Camera);
/// assert_eq!(reference.type_name(), Some("studio.camera"));
/// let camera: Arc<Camera> = reference.cast()?;
/// assert!(reference.cast::<proact_vm::Buffer>().is_err());
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub trait Object: Send + Sync + 'static {
    /// The name of the type, with that of what it belongs to before a dot: `vm.buffer`.
    const TYPE_NAME: &'static str;
}

/// What a reference needs of its object; every [`Object`] has it.
pub(crate) trait AnyObject: Send + Sync {
    fn type_name(&self) -> &'static str;
    fn as_any(&self) -> &(dyn Any + Send + Sync);
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: Object> AnyObject for T {
    fn type_name(&self) -> &'static str {
        T::TYPE_NAME
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// A counted reference to an object, or null. A clone is another reference to the same object; two are equal when they
/// are of the same object.
#[derive(Clone, Default)]
pub struct Ref(Option<Arc<dyn AnyObject>>);

impl Ref {
    /// A reference to nothing.
    pub const NULL: Ref = Ref(None);

    /// A first reference to an object.
    pub fn new<T: Object>(object: T) -> Ref {
        Ref(Some(Arc::new(object)))
    }

    /// Whether it is of nothing.
    pub fn is_null(&self) -> bool {
        self.0.is_none()
    }

    /// The name of the object's type; of null `None`.
    pub fn type_name(&self) -> Option<&'static str> {
        self.0.as_deref().map(AnyObject::type_name)
    }

    /// Whether the object is a `T`. Null is none.
    pub fn is<T: Object>(&self) -> bool {
        self.0.as_deref().is_some_and(|object| object.as_any().is::<T>())
    }

    /// The object, where it is a `T`: `INVALID_ARGUMENT` for null and for other types.
    pub fn get<T: Object>(&self) -> Result<&T> {
        match self.0.as_deref().and_then(|object| object.as_any().downcast_ref()) {
            Some(object) => Ok(object),
            None => Err(self.is_no::<T>()),
        }
    }

    /// Another reference to the object, where it is a `T`: `INVALID_ARGUMENT` for null and for other types.
    pub fn cast<T: Object>(&self) -> Result<Arc<T>> {
        self.clone().into_cast()
    }

    /// As [`Ref::cast`], with this reference instead of another.
    pub fn into_cast<T: Object>(self) -> Result<Arc<T>> {
        if !self.is::<T>() {
            return Err(self.is_no::<T>());
        }
        let object = self.0.map(AnyObject::into_any).and_then(|object| object.downcast().ok());
        object.ok_or_else(|| Error::internal("a checked cast failed"))
    }

    /// The Rust type of the object; of null `None`.
    pub fn type_id(&self) -> Option<std::any::TypeId> {
        self.0.as_deref().map(|object| object.as_any().type_id())
    }

    /// How many references there are to the object, this one with them; 0 for null.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, Arc::strong_count)
    }

    #[cold]
    fn is_no<T: Object>(&self) -> Error {
        let found = self.type_name().unwrap_or("null");
        Error::new(Code::InvalidArgument, format!("expected a reference to {}, found {found}", T::TYPE_NAME))
    }
}

impl<T: Object> From<Arc<T>> for Ref {
    fn from(object: Arc<T>) -> Ref {
        Ref(Some(object))
    }
}

impl<T: Object> From<Option<Arc<T>>> for Ref {
    fn from(object: Option<Arc<T>>) -> Ref {
        object.map_or(Ref::NULL, Ref::from)
    }
}

impl PartialEq for Ref {
    fn eq(&self, other: &Ref) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other)),
            _ => false,
        }
    }
}

impl Eq for Ref {}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(object) => write!(f, "Ref({} {:p})", object.type_name(), Arc::as_ptr(object)),
            None => f.write_str("Ref(null)"),
        }
    }
}

// What programs wait for is handed around as any object is.
impl Object for proact::sync::Semaphore {
    const TYPE_NAME: &'static str = "proact.semaphore";
}

impl Object for proact::causal::Frontier {
    const TYPE_NAME: &'static str = "proact.frontier";
}

impl Object for proact::sync::Tracker {
    const TYPE_NAME: &'static str = "proact.tracker";
}
