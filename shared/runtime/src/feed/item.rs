use otdel_api::{
    Event, billing, contracts,
    event::{CaughtUp, Checkpoint},
    leads,
};

/// What a feed sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<E> {
    /// An event.
    Event(E),
    /// Everything that was there has been sent.
    CaughtUp(CaughtUp),
    /// The place moved without an event.
    Checkpoint(Checkpoint),
}

impl<E> Item<E> {
    /// The same with the event made into another type.
    pub fn map<F>(self, make: impl FnOnce(E) -> F) -> Item<F> {
        match self {
            Self::Event(event) => Item::Event(make(event)),
            Self::CaughtUp(place) => Item::CaughtUp(place),
            Self::Checkpoint(place) => Item::Checkpoint(place),
        }
    }
}

/// What a subscriber asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The cursor to continue after; empty from the first event.
    pub start_after: &'a str,
    /// Full message names of the facts that are wanted; empty: all.
    pub event_types: &'a [String],
    /// Resources of which one must be touched; empty: all.
    pub subjects: &'a [String],
}

/// A service's event in the messages of its own `Subscribe`. The messages of the services are alike and yet types of
/// their own, because no two RPCs share a request; this is the way between them and the one implementation.
pub trait FeedEvent: Event + prost::Name + 'static {
    /// The service's `SubscribeRequest`.
    type Request: Send + 'static;
    /// The service's `SubscribeResponse`.
    type Response: Send + 'static;

    /// What a request asks for.
    fn asked(request: &Self::Request) -> Asked<'_>;
    /// The response that carries an item.
    fn response(item: Item<Self>) -> Self::Response;
    /// The item of a response. None: of a kind that this build does not know.
    fn item(response: Self::Response) -> Option<Item<Self>>;
}

impl FeedEvent for leads::LeadEvent {
    type Request = leads::SubscribeRequest;
    type Response = leads::SubscribeResponse;

    fn asked(request: &Self::Request) -> Asked<'_> {
        Asked { start_after: &request.start_after, event_types: &request.event_types, subjects: &request.subjects }
    }

    fn response(item: Item<Self>) -> Self::Response {
        use leads::subscribe_response::Item as Sent;
        let item = match item {
            Item::Event(event) => Sent::Event(event),
            Item::CaughtUp(place) => Sent::CaughtUp(place),
            Item::Checkpoint(place) => Sent::Checkpoint(place),
        };
        Self::Response { item: Some(item) }
    }

    fn item(response: Self::Response) -> Option<Item<Self>> {
        use leads::subscribe_response::Item as Sent;
        response.item.map(|item| match item {
            Sent::Event(event) => Item::Event(event),
            Sent::CaughtUp(place) => Item::CaughtUp(place),
            Sent::Checkpoint(place) => Item::Checkpoint(place),
        })
    }
}

impl FeedEvent for contracts::ContractEvent {
    type Request = contracts::SubscribeRequest;
    type Response = contracts::SubscribeResponse;

    fn asked(request: &Self::Request) -> Asked<'_> {
        Asked { start_after: &request.start_after, event_types: &request.event_types, subjects: &request.subjects }
    }

    fn response(item: Item<Self>) -> Self::Response {
        use contracts::subscribe_response::Item as Sent;
        let item = match item {
            Item::Event(event) => Sent::Event(event),
            Item::CaughtUp(place) => Sent::CaughtUp(place),
            Item::Checkpoint(place) => Sent::Checkpoint(place),
        };
        Self::Response { item: Some(item) }
    }

    fn item(response: Self::Response) -> Option<Item<Self>> {
        use contracts::subscribe_response::Item as Sent;
        response.item.map(|item| match item {
            Sent::Event(event) => Item::Event(event),
            Sent::CaughtUp(place) => Item::CaughtUp(place),
            Sent::Checkpoint(place) => Item::Checkpoint(place),
        })
    }
}

impl FeedEvent for billing::BillingEvent {
    type Request = billing::SubscribeRequest;
    type Response = billing::SubscribeResponse;

    fn asked(request: &Self::Request) -> Asked<'_> {
        Asked { start_after: &request.start_after, event_types: &request.event_types, subjects: &request.subjects }
    }

    fn response(item: Item<Self>) -> Self::Response {
        use billing::subscribe_response::Item as Sent;
        let item = match item {
            Item::Event(event) => Sent::Event(event),
            Item::CaughtUp(place) => Sent::CaughtUp(place),
            Item::Checkpoint(place) => Sent::Checkpoint(place),
        };
        Self::Response { item: Some(item) }
    }

    fn item(response: Self::Response) -> Option<Item<Self>> {
        use billing::subscribe_response::Item as Sent;
        response.item.map(|item| match item {
            Sent::Event(event) => Item::Event(event),
            Sent::CaughtUp(place) => Item::CaughtUp(place),
            Sent::Checkpoint(place) => Item::Checkpoint(place),
        })
    }
}
