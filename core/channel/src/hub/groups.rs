//! Questions about groups: what an admin of the channel says for several proxies at once.

use super::ask::{Answer, compile};
use super::question::{Question, members};
use super::trouble::Trouble;
use super::{Hub, Place};
use crate::channel::{Channel, GroupSpec, Side};
use crate::event::Text;
use crate::id::{ChannelId, GroupId};
use crate::json::{Object, patch_qos, write_qos};
use crate::predicate::Filter;
use crate::principal::Principal;
use crate::qos::Qos;
use clustercore_proto::time::Instant;

impl Hub {
    pub(super) fn create_group(&mut self, who: &Principal, question: &Question<'_>) -> Answer {
        let (channel, side, name) = self.group_meant(question)?;
        let qos = patch_qos(Qos::default(), &members(question.qos)?)?;
        let filter = self.group_filter(question)?.flatten();
        let machine = self.engine.administer(who, channel)?;
        if find(machine, side, name).is_some() {
            let message = format!("there is a group {name:?} already: set it, or choose another name");
            return Err(Trouble::new("name_taken", message));
        }
        machine.create_group(GroupSpec { name: name.into(), side, qos, filter })?;
        Ok("{}".into())
    }

    pub(super) fn set_group(&mut self, now: Instant, who: &Principal, question: &Question<'_>) -> Answer {
        let filter = self.group_filter(question)?;
        let (machine, id) = self.group(who, question)?;
        let spec = machine.group(id).ok_or_else(|| no_group(question))?.spec();
        let qos = patch_qos(spec.qos, &members(question.qos)?)?;
        let filter = filter.unwrap_or_else(|| spec.filter.clone());
        machine.set_group(now, id, qos, filter)?;
        Ok("{}".into())
    }

    pub(super) fn suspend_group(&mut self, who: &Principal, question: &Question<'_>) -> Answer {
        let (machine, id) = self.group(who, question)?;
        machine.suspend_group(id, question.op == "suspend_group")?;
        Ok("{}".into())
    }

    /// Its proxies go with it: consumers are told, a supplier meets "no such proxy" when it emits.
    pub(super) fn remove_group(&mut self, now: Instant, who: &Principal, question: &Question<'_>) -> Answer {
        let (channel, ..) = self.group_meant(question)?;
        let (machine, id) = self.group(who, question)?;
        let (suppliers, consumers) = machine.members(id);
        machine.remove_group(now, id)?;
        suppliers.iter().for_each(|proxy| {
            self.suppliers.pulled.remove(&(channel, *proxy));
        });
        let places: Vec<Place> =
            consumers.iter().filter_map(|proxy| self.consumers.remove(&(channel, *proxy))).collect();
        self.tell_gone(places, "its group was removed");
        Ok("{}".into())
    }

    /// The group that a proxy is to be in, where the question names one.
    pub(super) fn group_to_join(
        &mut self,
        channel: ChannelId,
        side: Side,
        question: &Question<'_>,
    ) -> Result<Option<GroupId>, Trouble> {
        let Some(name) = question.group.as_deref() else { return Ok(None) };
        let found = self.engine.machine(channel).and_then(|machine| find(machine, side, name));
        found.map(Some).ok_or_else(|| no_group(question))
    }

    fn group_meant<'q>(&self, question: &'q Question<'_>) -> Result<(ChannelId, Side, &'q str), Trouble> {
        let name = question.group.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| Trouble::missing("group"))?;
        let side = match question.admin.as_deref() {
            Some("supplier") => Side::SupplierAdmin,
            Some("consumer") => Side::ConsumerAdmin,
            Some(other) => {
                let message = format!(
                    "admin is {other:?}, possible are supplier (of consumers) and consumer (of suppliers)"
                );
                return Err(Trouble::new("json", message));
            }
            None => return Err(Trouble::missing("admin")),
        };
        Ok((self.channel(question)?, side, name))
    }

    fn group(
        &mut self,
        who: &Principal,
        question: &Question<'_>,
    ) -> Result<(&mut Channel, GroupId), Trouble> {
        let (channel, side, name) = self.group_meant(question)?;
        let machine = self.engine.administer(who, channel)?;
        let found = find(machine, side, name).ok_or_else(|| no_group(question))?;
        Ok((machine, found))
    }

    /// `None`: the question says nothing of it; `Some(None)`: none.
    fn group_filter(&self, question: &Question<'_>) -> Result<Option<Option<Filter>>, Trouble> {
        let Some(text) = &question.filter else { return Ok(None) };
        let filter = text.as_ref().map(|text| compile(&self.filters, text)).transpose();
        filter.map(Some).map_err(Trouble::filter)
    }
}

/// The groups of both admins, as `describe` tells them.
pub(super) fn write_groups(machine: &Channel, object: &mut Object<'_>) {
    let sides = [(Side::SupplierAdmin, "supplier"), (Side::ConsumerAdmin, "consumer")];
    let all = sides.into_iter().flat_map(|(side, admin)| machine.groups(side).map(move |it| (admin, it)));
    object.list("groups", all, |(admin, (id, group)), out| {
        Object::write(out, |object| {
            let spec = group.spec();
            object.text("group", &spec.name);
            object.text("admin", admin);
            object.object("qos", |object| write_qos(&spec.qos, object));
            if let Some(filter) = &spec.filter {
                object.text("filter", filter.text());
            }
            object.plain("is_suspended", group.is_suspended());
            let (suppliers, consumers) = machine.members(id);
            object.plain("proxies", suppliers.len() + consumers.len());
        });
    });
}

/// The name of a proxy's group.
pub(super) fn name_of(machine: &Channel, group: Option<GroupId>) -> Option<Text> {
    Some(machine.group(group?)?.spec().name.clone())
}

fn find(machine: &Channel, side: Side, name: &str) -> Option<GroupId> {
    machine.groups(side).find(|(_, group)| &*group.spec().name == name).map(|(id, _)| id)
}

fn no_group(question: &Question<'_>) -> Trouble {
    let name = question.group.as_deref().unwrap_or_default();
    Trouble::new(
        "no_such_group",
        format!("this admin of the channel has no group {name:?}: describe the channel"),
    )
}
