//! The same workflow ends the same way everywhere: as processes, in containers, in pods. Each file of `conformance/` says how it
//! is to end, and where it cannot run and why; our examples join them. Phases, outputs and exit codes are compared among the
//! launchers, and the score of each is printed at the end.
//!
//! Argo's own examples join where they lie beside the checkout and `TIPHYS_CONFORMANCE` says `corpus`: those for whose images
//! there is a stand-in. `corpus/loops` takes those with that in their names.

mod case;
mod corpus;
mod examples;
mod given;
mod images;
mod listed;
mod machine;
mod outcome;
mod place;
mod score;

use case::Case;
use place::Place;
use score::Found;

#[test]
fn processes_containers_and_pods_agree() {
    let corpus = corpus::examples();
    let own = case::own().into_iter().chain(examples::cases());
    let cases: Vec<Case> = own.chain(corpus.cases).collect();
    let open: [fn() -> Option<Place>; 3] = [|| Some(Place::process()), Place::docker, Place::kubernetes];
    // One after another: each has what the machine can give.
    let found = open.into_iter().filter_map(|open| {
        let place = open()?;
        Some((place.name, place.run(&cases)))
    });
    let found: Found = found.collect();
    let scores = score::scores(&cases, &found);
    println!("{}", score::table(&scores, &corpus.left_out));
    score::check(&scores);
}
