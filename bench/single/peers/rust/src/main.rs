//! (e) socketioxide under axum in one thread, with the benchmark's three events and no other features.
//!
//! Says its port on standard output.

use std::time::Duration;

use axum::Router;
use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::extract::{AckSender, Data, SocketRef};
use socketioxide::SocketIo;

const ROOM: &str = "authenticated";

#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "userId")]
    user_id: String,
}

#[derive(Clone)]
struct User(String);

#[derive(Deserialize)]
struct Count {
    count: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Portfolio {
    total_value: f64,
    day_change: f64,
    day_change_percent: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    user_id: &'static str,
    portfolio: Portfolio,
    timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    success: bool,
    user_id: String,
    timestamp: String,
}

/// Now, as JavaScript's `toISOString`.
fn timestamp() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn echo(Data(data): Data<Value>, ack: AckSender) {
    ack.send(&data).ok();
}

fn subscribe(socket: SocketRef, ack: AckSender) {
    let Some(User(user_id)) = socket.extensions.get::<User>() else { return };
    socket.join(format!("portfolio:{user_id}"));
    let answer = Answer { success: true, user_id, timestamp: timestamp() };
    socket.emit("subscribed:portfolio", &answer).ok();
    ack.send(&answer).ok();
}

async fn broadcast(io: SocketIo, Data(Count { count }): Data<Count>) {
    for _ in 0..count {
        let portfolio = Portfolio { total_value: 125430.5, day_change: -312.25, day_change_percent: -0.25 };
        let update = Update { user_id: "user-000000", portfolio, timestamp: timestamp() };
        io.to(ROOM).emit("portfolio:update", &update).await.ok();
    }
}

async fn connect(socket: SocketRef, Data(auth): Data<Auth>) {
    socket.extensions.insert(User(auth.user_id));
    socket.join(ROOM);
    socket.on("echo", async |data: Data<Value>, ack: AckSender| echo(data, ack));
    socket.on("subscribe:portfolio", async |socket: SocketRef, ack: AckSender| subscribe(socket, ack));
    socket.on("bench:broadcast", broadcast);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (layer, io) =
        SocketIo::builder().ping_interval(Duration::from_secs(120)).ping_timeout(Duration::from_secs(60)).build_layer();
    io.ns("/", connect);
    // As deep a backlog as the others have: a full one drops clients, and who is dropped waits a second.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(2048)?;
    println!("{{\"port\":{}}}", listener.local_addr()?.port());
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}
