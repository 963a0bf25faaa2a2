import Testing

@testable import SSH

@Suite struct ByteQueueTests {
    @Test(arguments: [1, 3, 7, 64, 1000])
    func whatGoesInComesOutInOrder(limit: Int) {
        var queue = ByteQueue()
        var put: UInt8 = 0
        var got: [UInt8] = []
        var expected: [UInt8] = []
        for round in 0..<200 {
            let bytes = (0..<(round % 23)).map { _ -> UInt8 in
                put &+= 1
                return put
            }
            expected += bytes
            bytes.withUnsafeBytes { queue.append($0) }
            if round.isMultiple(of: 3), let some = queue.take(upTo: limit) {
                #expect(some.count <= limit)
                got += some
            }
            #expect(queue.count == expected.count - got.count)
        }
        while let some = queue.take(upTo: limit) { got += some }
        #expect(got == expected)
        #expect(queue.isEmpty)
    }
}
