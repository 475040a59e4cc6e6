/*
 * The protocol of the byte ring (../bytes.go), for exhaustive checking with
 * Spin. Run by ../model_test.go; by hand:
 *
 *	spin -a ring.pml && cc -O2 -DSAFETY -o pan pan.c && ./pan
 *
 * One producer, one consumer, and a third party that may close at any moment,
 * which stands for Close by either side. One unit of the model is 8 bytes: a record of
 * size 1 is a header, one of size 2 a header and a word of payload. Writing
 * and reading a unit are separate steps, so that every interleaving of them
 * with the other side is tried.
 *
 * Checked:
 *	- the producer never writes a unit that the consumer has not released
 *	  (in_use), nor the consumer reads one that is not published;
 *	- records arrive in order, whole, each once (expected);
 *	- a record that Commit refused is never seen;
 *	- when both sides are through, every accepted record has been read.
 *
 * Variants that must fail, to show that the checks can see something:
 *	-DBROKEN_COMMIT   closing is a flag of its own, looked at before tail is stored
 *	-DBROKEN_RELEASE  the consumer stores head before it reads the record
 *	-DBROKEN_ROOM     the skipped rest of a lap is not counted as used
 *	-DREACHABLE       nothing is broken; claims that no run accepts and
 *	                  drains all records, one of them after padding
 */

#ifndef CAP
#define CAP      4                      /* units; a record takes at most half */
#endif
#ifndef RECORDS
#define RECORDS  7                      /* commits that the producer attempts */
#endif
#define POS(x)   ((x) & 127)            /* positions wrap, as at 2^64 */
#define START    126                    /* the wrap comes in the second lap */
#define AT(p)    ((p) & (CAP - 1))      /* CAP divides 128 */
#define PADDING  255

byte tail_word = START << 1;            /* position, and bit 0: closed */
byte head_word = START;
byte length[CAP];                       /* headers: size of a record, or PADDING */
byte data[CAP];                         /* record number, in each of its units */
#ifdef BROKEN_COMMIT
bool closed_flag;
#endif

/* Ghosts: the model's knowledge, not the protocol's. */
bool in_use[CAP];                       /* published and not released */
byte accepted, drained;                 /* records */
bool padded, producer_through, consumer_through;

inline write(unit, number) {
	assert(!in_use[unit]);
	data[unit] = number
}

active proctype producer() {
	byte tail = START, head = START;    /* own position, cached head */
	byte n, size, start, next, i;

	for (n : 1 .. RECORDS) {
		select (size : 1 .. CAP / 2);
reserve:
		start = tail;
		if
		:: AT(tail) + size > CAP -> start = POS(tail + CAP - AT(tail))
		:: else
		fi;
		next = POS(start + size);
#ifdef BROKEN_ROOM
#define NEED POS(tail + size - head)
#else
#define NEED POS(next - head)
#endif
		if
		:: NEED > CAP ->
			head = head_word;           /* looks full: refresh */
			if
			:: NEED > CAP ->
				if
				:: goto reserve         /* try again */
				:: goto through         /* or give up */
				fi
			:: else
			fi
		:: else
		fi;
		if
		:: start != tail ->
			assert(!in_use[AT(tail)]);
			length[AT(tail)] = PADDING
		:: else
		fi;
		i = 1;
		do
		:: i < size -> write(AT(start + i), n); i++
		:: else -> break
		od;
		write(AT(start), n);            /* the header last, in Commit */
		length[AT(start)] = size;
#ifdef BROKEN_COMMIT
		if
		:: closed_flag -> goto through
		:: else
		fi;
		atomic {
			tail_word = next << 1;
#else
		atomic {                        /* compare-and-swap */
			if
			:: tail_word != tail << 1 -> goto through
			:: else -> tail_word = next << 1
			fi;
#endif
			accepted++;
			padded = padded || start != tail;
			do
			:: tail != next -> in_use[AT(tail)] = true; tail = POS(tail + 1)
			:: else -> break
			od
		}
	}
through:
	producer_through = true
}

/* The consumer goes on until it has found the ring closed and, after that, empty. */
active proctype consumer() {
	byte read = START, tail = START;    /* own position, cached tail */
	byte freed = START;                 /* for the ghost: where in_use begins */
	byte size, expected = 1, i;
	bool closed;

	do
	:: read == tail ->
		atomic {                        /* one load shows both */
			tail = tail_word >> 1;
#ifdef BROKEN_COMMIT
			closed = closed_flag
#else
			closed = tail_word & 1
#endif
		};
		if
		:: read == tail && closed -> break
		:: else
		fi
	:: read != tail ->
		assert(in_use[AT(read)]);
		size = length[AT(read)];
		if
		:: size == PADDING -> read = POS(read + CAP - AT(read))
		:: else ->
#ifdef BROKEN_RELEASE
			head_word = POS(read + size);
#endif
			i = 0;
			do
			:: i < size ->
				assert(in_use[AT(read + i)] && data[AT(read + i)] == expected);
				i++
			:: else -> break
			od;
			assert(expected <= accepted);
			expected++;
			drained++;
			read = POS(read + size)
		fi
	:: freed != read ->                 /* Release, now or later */
		atomic {
			head_word = read;
			do
			:: freed != read -> in_use[AT(freed)] = false; freed = POS(freed + 1)
			:: else -> break
			od
		}
	od;
	consumer_through = true
}

active proctype closer() {
#ifdef BROKEN_COMMIT
	closed_flag = true
#else
	tail_word = tail_word | 1           /* one atomic or */
#endif
}

active proctype judge() {
	producer_through && consumer_through;
#ifdef REACHABLE
	assert(!(accepted == RECORDS && drained == RECORDS && padded))
#else
	assert(accepted == drained)
#endif
}
