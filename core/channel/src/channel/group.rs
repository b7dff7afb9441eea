//! Groups of proxies: the SupplierAdmin's of supplier proxies, the ConsumerAdmin's of consumer proxies.
//!
//! The names are those of the paper this engine goes back to; CORBA Notification names the two admins the other way round.

use super::Channel;
use super::manage::ManageError;
use crate::event::Text;
use crate::id::{ConsumerProxyId, GroupId, SupplierProxyId};
use crate::predicate::Filter;
use crate::qos::{Level, Qos, validate};
use clustercore_proto::time::Instant;

/// Which admin a group belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The SupplierAdmin: it manages supplier proxies, to which consumers speak.
    SupplierAdmin,
    /// The ConsumerAdmin: it manages consumer proxies, to which suppliers speak.
    ConsumerAdmin,
}

/// What a group says for its proxies.
#[derive(Clone)]
pub struct GroupSpec {
    /// Its name, for people.
    pub name: Text,
    /// Its admin.
    pub side: Side,
    /// Quality of service.
    pub qos: Qos,
    /// Holds beside the filters of the proxies.
    pub filter: Option<Filter>,
}

/// A group.
pub struct Group {
    pub(super) spec: GroupSpec,
    pub(super) filter: Option<u32>,
    pub(super) is_suspended: bool,
}

impl Group {
    /// What it says.
    pub fn spec(&self) -> &GroupSpec {
        &self.spec
    }

    /// Its proxies are suspended.
    pub fn is_suspended(&self) -> bool {
        self.is_suspended
    }
}

impl Channel {
    /// Makes a group.
    ///
    /// Errors: `TooMany`, `Qos`.
    pub fn create_group(&mut self, spec: GroupSpec) -> Result<GroupId, ManageError> {
        let max = self.config.groups_max;
        if self.groups.len() as u64 >= u64::from(max) {
            return Err(ManageError::TooMany { what: "groups", max });
        }
        validate(Level::Group, &self.base(spec.side).narrowed(&self.config.qos), &spec.qos)?;
        let filter = spec.filter.as_ref().map(|filter| self.routes.add_filter(filter));
        Ok(self.groups.insert(Group { spec, filter, is_suspended: false }).into())
    }

    /// The group of this id.
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.index).filter(|_| self.groups.generation(id.index) == Some(id.generation))
    }

    /// The groups of an admin.
    pub fn groups(&self, side: Side) -> impl Iterator<Item = (GroupId, &Group)> {
        let all = self.groups.iter().filter(move |(.., group)| group.spec.side == side);
        all.map(|(index, generation, group)| ((index, generation).into(), group))
    }

    /// Changes what a group says, for all its proxies at once.
    ///
    /// Errors: `NoSuchGroup`, `Qos`; nothing is changed then.
    pub fn set_group(
        &mut self,
        now: Instant,
        id: GroupId,
        qos: Qos,
        filter: Option<Filter>,
    ) -> Result<(), ManageError> {
        let side = self.group(id).ok_or(ManageError::NoSuchGroup)?.spec.side;
        validate(Level::Group, &self.base(side).narrowed(&self.config.qos), &qos)?;
        let number = filter.as_ref().map(|filter| self.routes.add_filter(filter));
        let group = &mut self.groups[id.index];
        let old = std::mem::replace(&mut group.filter, number);
        (group.spec.qos, group.spec.filter) = (qos, filter);
        if let Some(old) = old {
            self.routes.remove_filter(old);
        }
        self.handle_timeout(now);
        let (suppliers, consumers) = self.members(id);
        suppliers.into_iter().for_each(|proxy| self.reset_intake(proxy.index));
        // A queue that several of them share is the same at the second look.
        consumers.into_iter().for_each(|proxy| self.reset_queue(now, self.outlets[proxy.index].queue));
        self.refill(now);
        Ok(())
    }

    /// Suspends or resumes all proxies of a group.
    ///
    /// Errors: `NoSuchGroup`.
    pub fn suspend_group(&mut self, id: GroupId, is_suspended: bool) -> Result<(), ManageError> {
        self.group(id).ok_or(ManageError::NoSuchGroup)?;
        self.groups[id.index].is_suspended = is_suspended;
        let (suppliers, consumers) = self.members(id);
        suppliers.into_iter().for_each(|proxy| self.resume_intake(proxy.index));
        consumers.into_iter().for_each(|proxy| self.resume_outlet(proxy.index));
        Ok(())
    }

    /// Removes a group and all its proxies.
    ///
    /// Errors: `NoSuchGroup`.
    pub fn remove_group(&mut self, now: Instant, id: GroupId) -> Result<(), ManageError> {
        self.group(id).ok_or(ManageError::NoSuchGroup)?;
        let (suppliers, consumers) = self.members(id);
        for proxy in suppliers {
            self.remove_consumer_proxy(now, proxy)?;
        }
        for proxy in consumers {
            self.remove_supplier_proxy(now, proxy)?;
        }
        if let Some(filter) = self.groups.remove(id.index).and_then(|group| group.filter) {
            self.routes.remove_filter(filter);
        }
        Ok(())
    }

    /// The proxies of a group.
    pub fn members(&self, id: GroupId) -> (Vec<ConsumerProxyId>, Vec<SupplierProxyId>) {
        let intakes = self.intakes.iter().filter(|(.., it)| it.spec.group == Some(id));
        let outlets = self.outlets.iter().filter(|(.., it)| it.spec.group == Some(id));
        let intakes = intakes.map(|(index, generation, _)| (index, generation).into()).collect();
        (intakes, outlets.map(|(index, generation, _)| (index, generation).into()).collect())
    }
}
