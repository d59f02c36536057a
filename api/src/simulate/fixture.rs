//! Names for games: a season in which each club meets each other twice.

/// Clubs, an even number of them.
const CLUBS: [&str; 20] = [
    "Flamengo",
    "Palmeiras",
    "Corinthians",
    "São Paulo",
    "Santos",
    "Grêmio",
    "Internacional",
    "Cruzeiro",
    "Atlético Mineiro",
    "Botafogo",
    "Fluminense",
    "Vasco da Gama",
    "Bahia",
    "Vitória",
    "Fortaleza",
    "Ceará",
    "Sport",
    "Athletico Paranaense",
    "Coritiba",
    "Red Bull Bragantino",
];

/// Matches of a round, and rounds until each club has met each other.
const MATCHES: usize = CLUBS.len() / 2;
const ROUNDS: usize = CLUBS.len() - 1;

/// The match of that number, counted from 0; numbers past the season begin another.
pub(super) fn fixture(number: usize) -> String {
    let (round, place) = (number / MATCHES, number % MATCHES);
    let (half, turn) = (round / ROUNDS, round % ROUNDS);
    // The circle method: the first club stays, the others move by one place each round.
    let at = |place: usize| match place {
        0 => CLUBS[0],
        place => CLUBS[1 + (place - 1 + turn) % ROUNDS],
    };
    let (one, other) = (at(place), at(CLUBS.len() - 1 - place));
    // The return match is at the other club's.
    let (home, away) = if half % 2 == 0 {
        (one, other)
    } else {
        (other, one)
    };
    format!("{home} x {away}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn in_a_season_every_club_receives_every_other_once() {
        let season = 2 * ROUNDS * MATCHES;
        let all: HashSet<_> = (0..season).map(fixture).collect();
        assert_eq!(all.len(), season);
        assert_eq!(fixture(season), fixture(0));
    }

    #[test]
    fn a_club_plays_once_in_a_round() {
        for round in 0..2 * ROUNDS {
            let names: Vec<_> = (0..MATCHES)
                .map(|place| fixture(round * MATCHES + place))
                .collect();
            let clubs: HashSet<_> = names.iter().flat_map(|name| name.split(" x ")).collect();
            assert_eq!(clubs.len(), CLUBS.len(), "{names:?}");
        }
    }
}
