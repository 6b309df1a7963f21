//! A section: its header, and one struct per feature that holds what was written.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use super::{Loc, Sections, Word};

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
    LogProfile,
    CrtStore,
    Traces,
    FcgiApp,
    Healthcheck,
    Acme,
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
            SectionKind::LogProfile => Sections::LOG_PROFILE,
            SectionKind::CrtStore => Sections::CRT_STORE,
            SectionKind::Traces => Sections::TRACES,
            SectionKind::FcgiApp => Sections::FCGI_APP,
            SectionKind::Healthcheck => Sections::HEALTHCHECK,
            SectionKind::Acme => Sections::ACME,
        }
    }

    /// Every kind.
    pub const ALL: [SectionKind; 20] = [
        SectionKind::Global,
        SectionKind::Defaults,
        SectionKind::Frontend,
        SectionKind::Backend,
        SectionKind::Listen,
        SectionKind::Userlist,
        SectionKind::Peers,
        SectionKind::Resolvers,
        SectionKind::Mailers,
        SectionKind::Ring,
        SectionKind::Cache,
        SectionKind::HttpErrors,
        SectionKind::Program,
        SectionKind::LogForward,
        SectionKind::LogProfile,
        SectionKind::CrtStore,
        SectionKind::Traces,
        SectionKind::FcgiApp,
        SectionKind::Healthcheck,
        SectionKind::Acme,
    ];

    /// The keyword that opens it.
    pub fn keyword(self) -> &'static str {
        match self {
            SectionKind::Global => "global",
            SectionKind::Defaults => "defaults",
            SectionKind::Frontend => "frontend",
            SectionKind::Backend => "backend",
            SectionKind::Listen => "listen",
            SectionKind::Userlist => "userlist",
            SectionKind::Peers => "peers",
            SectionKind::Resolvers => "resolvers",
            SectionKind::Mailers => "mailers",
            SectionKind::Ring => "ring",
            SectionKind::Cache => "cache",
            SectionKind::HttpErrors => "http-errors",
            SectionKind::Program => "program",
            SectionKind::LogForward => "log-forward",
            SectionKind::LogProfile => "log-profile",
            SectionKind::CrtStore => "crt-store",
            SectionKind::Traces => "traces",
            SectionKind::FcgiApp => "fcgi-app",
            SectionKind::Healthcheck => "healthcheck",
            SectionKind::Acme => "acme",
        }
    }

    /// True for frontend, backend and listen.
    pub fn is_proxy(self) -> bool {
        matches!(self, SectionKind::Frontend | SectionKind::Backend | SectionKind::Listen)
    }

    /// True for frontend and listen.
    pub fn is_frontend(self) -> bool {
        matches!(self, SectionKind::Frontend | SectionKind::Listen)
    }

    /// True for backend and listen.
    pub fn is_backend(self) -> bool {
        matches!(self, SectionKind::Backend | SectionKind::Listen)
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
    /// Arguments of the header after the name: the addresses of `listen NAME ADDR...` and `frontend NAME
    /// ADDR...` in the 1.4 form. Words of the header that the loader understands itself (`from NAME`) are not
    /// among them.
    pub header_args: Vec<Word>,
    /// The `defaults` section that this one started from: its index in the list of loaded sections.
    pub defaults: Option<usize>,
    features: HashMap<TypeId, Box<dyn AnyFeature>>,
}

impl Section {
    /// A section with nothing in it.
    pub fn new(kind: SectionKind, name: String, loc: Loc) -> Section {
        Section { kind, name, loc, header_args: Vec::new(), defaults: None, features: HashMap::new() }
    }

    /// A section that starts with everything `defaults` says.
    pub fn from_defaults(kind: SectionKind, name: String, loc: Loc, defaults: &Section) -> Section {
        let features = defaults.features.iter().map(|(k, v)| (*k, (**v).clone_box())).collect();
        Section { kind, name, loc, header_args: Vec::new(), defaults: None, features }
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
