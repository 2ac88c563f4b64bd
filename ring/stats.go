package ring

import "github.com/shmwire/shmwire/internal/mem"

// Stats counts what a handle has done since it was made.
type Stats struct {
	Records   uint64 // messages committed or taken; aborted claims do not count
	Bytes     uint64 // payload bytes of these
	Skips     uint64 // paddings at the end of the ring and, on an MPSC ring, aborted claims, written or stepped over
	Waits     uint64 // times that space or a record was not there at once and the call had to wait
	Parks     uint64 // times that the handle announced a sleep
	Rings     uint64 // times that it rang the other side's doorbell
	HighWater uint64 // producer only: most slots in use, as seen when the consumer's position was loaded
	Position  uint64 // the handle's own position
	Recovered uint64 // consumer of an MPSC ring only: claims of dead producers that it stepped over
}

// statsWords is how many words of a region's stats are in use, in the order of the fields of [Stats].
const statsWords = 9

// shareStats copies s to the stats words of the handle's own region, for inspectors. Each word has one writer and means
// something by itself, so their order does not matter.
func shareStats(words []mem.Word64, s *Stats) {
	for i, v := range [statsWords]uint64{s.Records, s.Bytes, s.Skips, s.Waits, s.Parks, s.Rings, s.HighWater, s.Position, s.Recovered} {
		mem.StoreRelease64(&words[i], v)
	}
}

// SharedStats reads what the owner of a region, producer's or consumer's, last copied there: whenever it slept, closed,
// or went once around. It may be called from any goroutine and any process that maps the region; region must have at
// least [Geometry.ConsumerBytes] bytes. The numbers are the owner's word, nothing more. The producer region of an MPSC ring
// has none here, but some for each of its producers: see [Snapshot.Owners].
func SharedStats(region []byte) Stats {
	return loadStats(mem.Uint64s(region, ProducerStatsOffset, statsWords))
}

func loadStats(w []mem.Word64) Stats {
	return Stats{
		Records: w[0].Load(), Bytes: w[1].Load(), Skips: w[2].Load(), Waits: w[3].Load(),
		Parks: w[4].Load(), Rings: w[5].Load(), HighWater: w[6].Load(), Position: w[7].Load(), Recovered: w[8].Load(),
	}
}
