//! Deciding what is called: from what a client asks to a [`Call`](crate::exchange::Call) ready to be made. Nothing is
//! sent or counted here, so that `explain` can decide as an exchange does.

use genesis_config::GatewaySettings;
use http::HeaderMap;
use uuid::Uuid;

use crate::credential::Credential;
use crate::options::Options;
use crate::plan::Target;
use crate::receipt::Receipt;
use crate::snapshot::Snapshot;

/// With what it is decided. How: by path in `exchange`, by model in `unified`.
pub(crate) struct Planning<'x, 'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) account: &'x str,
    pub(crate) gateway: &'x GatewaySettings,
    pub(crate) options: &'x Options,
    /// The exchange's.
    pub(crate) id: Uuid,
    pub(crate) notes: &'x mut dyn Notes,
}

/// Whoever is told what was decided, as far as it came.
pub(crate) trait Notes {
    fn addressed(&mut self, provider: &str, path: &str);
    fn asked_for(&mut self, model: &str);
    fn dropped(&mut self, names: &[String]);
    fn planned(&mut self, target: &Target, model: Option<&str>, stream: bool);
    fn authorised(&mut self, credential: &Credential, headers: &HeaderMap, simulated: bool);
}

impl Notes for Receipt {
    fn addressed(&mut self, provider: &str, path: &str) {
        self.addressed(provider, path);
    }

    fn asked_for(&mut self, model: &str) {
        self.asked_for(model);
    }

    fn dropped(&mut self, names: &[String]) {
        self.dropped(names);
    }

    fn planned(&mut self, target: &Target, model: Option<&str>, stream: bool) {
        self.planned(target, model, stream);
    }

    fn authorised(&mut self, credential: &Credential, headers: &HeaderMap, simulated: bool) {
        self.authorised(credential, headers, simulated);
    }
}
