//! Holds two lamps for a shopper, then sells them.
//!
//! `cargo run -p earmark-client --example reserve -- 127.0.0.1:7400`

use earmark_client::{Client, Code, Error};
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7400".to_owned());
    let client = Client::connect([endpoint]).await?;
    client.receive("lamp-01", "main", 10).document("delivery 4711").send().await?;

    let cart = client.reserve().line("lamp-01", "main", 2).owner("cart-77").ttl(Duration::from_secs(900));
    match cart.send().await {
        Ok(reservation) => {
            println!("{} is held for {:?}", reservation.id(), reservation.remaining());
            let sold = reservation.commit().await?;
            println!("it is {:?} now", sold.reservation.state);
        }
        Err(error) if error.code() == Code::InsufficientStock => println!("sold out: {:?}", error.shortages()),
        // The SDK tried for as long as it was allowed to. Asking again with this id tells how it ended.
        Err(error) if error.is_unknown() => println!("ask again for {:?}: {error}", error.reservation_id()),
        Err(error) => return Err(error),
    }

    for pool in client.stock("lamp-01").send().await?.pools {
        println!("{}: {} on hand, {} free", pool.location, pool.on_hand, pool.available);
    }
    Ok(())
}
