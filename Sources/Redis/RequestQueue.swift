/// First in, first out, both in constant time (amortised); what is taken out is not kept alive.
struct RequestQueue<Element> {
    private var slots: [Element?] = []
    private var head = 0

    var count: Int { slots.count - head }

    /// The oldest element, changed in place.
    var first: Element? {
        get { head < slots.count ? slots[head] : nil }
        _modify {
            precondition(head < slots.count, "the first of an empty queue was changed")
            yield &slots[head]
        }
    }

    mutating func append(_ element: Element) { slots.append(element) }

    mutating func removeFirst() -> Element? {
        guard head < slots.count else { return nil }
        defer {
            slots[head] = nil
            head += 1
            if head == slots.count {
                slots.removeAll(keepingCapacity: head <= 4_096)
                head = 0
            } else if head >= 1_024, head * 2 >= slots.count {
                slots.removeFirst(head)
                head = 0
            }
        }
        return slots[head]
    }

    /// Takes out all, oldest first.
    mutating func removeAll() -> [Element] {
        defer { self = RequestQueue() }
        return slots[head...].compactMap { $0 }
    }
}
