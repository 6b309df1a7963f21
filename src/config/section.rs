//! A section: its header, and one struct per feature that holds what was written.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use super::{Loc, Sections};

/// The kinds of sections.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectionKind {
    Global,
    Defaults,
    Frontend,
    Backend,
    Listen,
    Userlist,
    Peers,
    Resolvers,
    Mailers,
    Ring,
    Cache,
    HttpErrors,
    Program,
    LogForward,
}

impl SectionKind {
    /// The keyword mask of this section.
    pub fn mask(self) -> Sections {
        match self {
            SectionKind::Global => Sections::GLOBAL,
            SectionKind::Defaults => Sections::DEFAULTS,
            SectionKind::Frontend => Sections::FRONTEND,
            SectionKind::Backend => Sections::BACKEND,
            SectionKind::Listen => Sections::FRONTEND.or(Sections::BACKEND),
            SectionKind::Userlist => Sections::USERLIST,
            SectionKind::Peers => Sections::PEERS,
            SectionKind::Resolvers => Sections::RESOLVERS,
            SectionKind::Mailers => Sections::MAILERS,
            SectionKind::Ring => Sections::RING,
            SectionKind::Cache => Sections::CACHE,
            SectionKind::HttpErrors => Sections::HTTP_ERRORS,
            SectionKind::Program => Sections::PROGRAM,
            SectionKind::LogForward => Sections::LOG_FORWARD,
        }
    }
}

/// A feature's own struct of what was written in a section. Cloned when a section starts from `defaults`.
pub trait Feature: Any + Clone + Default + Send + Sync {}
impl<T: Any + Clone + Default + Send + Sync> Feature for T {}

trait AnyFeature: Any + Send + Sync {
    fn clone_box(&self) -> Box<dyn AnyFeature>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}
impl<T: Feature> AnyFeature for T {
    fn clone_box(&self) -> Box<dyn AnyFeature> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// One section of the configuration.
pub struct Section {
    /// What it is.
    pub kind: SectionKind,
    /// Its name; empty for `global` and for unnamed `defaults`.
    pub name: String,
    /// Its header line.
    pub loc: Loc,
    features: HashMap<TypeId, Box<dyn AnyFeature>>,
}

impl Section {
    /// A section with nothing in it.
    pub fn new(kind: SectionKind, name: String, loc: Loc) -> Section {
        Section { kind, name, loc, features: HashMap::new() }
    }

    /// A section that starts with everything `defaults` says.
    pub fn from_defaults(kind: SectionKind, name: String, loc: Loc, defaults: &Section) -> Section {
        let features = defaults.features.iter().map(|(k, v)| (*k, (**v).clone_box())).collect();
        Section { kind, name, loc, features }
    }

    /// What feature `T` has stored, if anything.
    pub fn get<T: Feature>(&self) -> Option<&T> {
        self.features.get(&TypeId::of::<T>()).and_then(|b| (**b).as_any().downcast_ref())
    }

    /// What feature `T` has stored; created empty at first use.
    pub fn feature<T: Feature>(&mut self) -> &mut T {
        let slot = self.features.entry(TypeId::of::<T>()).or_insert_with(|| Box::new(T::default()));
        (**slot).as_any_mut().downcast_mut().expect("the map is keyed by the type of its value")
    }
}
