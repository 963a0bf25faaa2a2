import Cryptography
import Foundation
import Logging

// The calls under /cloud/project/{id}.
extension Project {
    func projectRoute(
        _ method: String, _ parts: [String], _ body: JSON, _ build: Fault.Build?, _ parameter: (String) -> String?
    ) async throws -> JSON {
        try await settle()
        let region = parameter("region")
        switch (method, parts.first, parts.count) {
        case ("GET", nil, _):
            return ["project_id": .text(id), "description": "Simulated", "status": "ok", "planCode": "project.2018"]
        case ("GET", "region", 1): return .list(Offer.regions.map(JSON.text))
        case ("GET", "region", 2):
            let name = try known(parts[1])
            return ["name": .text(name), "type": "region", "status": "UP", "services": [], "continentCode": "EU"]
        case ("GET", "region", 3) where parts[2] == "quota": return quota(in: try known(parts[1]))
        case ("GET", "quota", 1): return .list(Offer.regions.map(quota))
        case ("GET", "flavor", 1):
            return .list((try region.map { [try known($0)] } ?? Offer.regions).flatMap(Offer.flavors))
        case ("GET", "flavor", 2): return try find(parts[1], in: Offer.regions.flatMap(Offer.flavors), "Flavor")
        case ("GET", "image", 1):
            return .list((try region.map { [try known($0)] } ?? Offer.regions).flatMap(Offer.images))
        case ("GET", "image", 2): return try find(parts[1], in: Offer.regions.flatMap(Offer.images), "Image")
        case ("GET", "sshkey", 1):
            return .list(keys.filter { region == nil || $0.regions.contains(region ?? "") }.map(\.json))
        case ("POST", "sshkey", 1): return try makeKey(body)
        case ("GET", "sshkey", 2): return try find(parts[1], in: keys.map(\.json), "SSH key")
        case ("DELETE", "sshkey", 2):
            _ = try find(parts[1], in: keys.map(\.json), "SSH key")
            keys.removeAll { $0.id == parts[1] }
            return .null
        case ("GET", "instance", 1):
            return .list(
                instances.values.filter { region == nil || $0.region == region }.sorted { $0.created < $1.created }
                    .map { $0.json(isDetail: false) })
        case ("POST", "instance", 1): return try await order(body, build)
        case (_, "instance", 2...): return try await instanceRoute(method, parts, body)
        default: throw Refusal(404, code: "INVALID_URL", "Got an invalid (or empty) URL")
        }
    }

    private func known(_ region: String) throws -> String {
        guard Offer.regions.contains(region) else {
            throw Refusal(400, class: "Client::BadRequest::InvalidParameter", "Region \(region) does not exist")
        }
        return region
    }

    private func find(_ id: String, in all: [JSON], _ what: String) throws -> JSON {
        guard let found = all.first(where: { $0["id"]?.text == id }) else {
            throw Refusal(404, class: "Client::NotFound", "\(what) not found")
        }
        return found
    }

    private func text(_ key: String, of body: JSON) throws -> String {
        guard let value = body[key]?.text, !value.isEmpty else {
            throw Refusal(400, class: "Client::BadRequest::MissingParameter", "Missing parameter: \(key)")
        }
        return value
    }

    private func quota(in region: String) -> JSON {
        let used = instances.values.filter { $0.region == region }
        let cores = used.reduce(0) { sum, instance in
            if case .number(let count)? = instance.flavor["vcpus"] { sum + Int(count) } else { sum }
        }
        return [
            "region": .text(region),
            "instance": [
                "maxInstances": JSON(options.maxInstances), "usedInstances": JSON(used.count),
                "maxCores": JSON(4 * options.maxInstances), "usedCores": JSON(cores), "maxRam": 40_960,
                "usedRAM": 0,
            ],
            "keypair": ["maxCount": 100], "volume": nil, "network": nil,
        ]
    }

    private func makeKey(_ body: JSON) throws -> JSON {
        let (name, publicKey) = (try text("name", of: body), try text("publicKey", of: body))
        guard publicKey.hasPrefix("ssh-") else {
            throw Refusal(400, class: "Client::BadRequest::InvalidParameter", "Invalid public key")
        }
        let regions = try body["region"]?.text.map { [try known($0)] } ?? Offer.regions
        guard !keys.contains(where: { $0.name == name && !Set($0.regions).isDisjoint(with: regions) }) else {
            throw Refusal(409, class: "Client::Conflict", "A key of this name exists already")
        }
        guard keys.count < 100 else { throw Refusal(403, class: "Client::Forbidden", "Quota of keys exceeded") }
        let key = SSHKey(id: try Random.hex(8), name: name, publicKey: publicKey, regions: regions)
        keys.append(key)
        return key.json
    }

    // MARK: Instances

    private func order(_ body: JSON, _ build: Fault.Build?) async throws -> JSON {
        let (name, region) = (try text("name", of: body), try known(try text("region", of: body)))
        let flavor = try find(try text("flavorId", of: body), in: Offer.flavors(in: region), "Flavor")
        let image = try find(try text("imageId", of: body), in: Offer.images(in: region), "Image")
        if case .bool(true)? = body["monthlyBilling"] {
            throw Refusal(400, class: "Client::BadRequest", "Nobody here pays by the month")
        }
        guard instances.values.count(where: { $0.region == region }) < options.maxInstances else {
            throw Refusal(403, class: "Client::Forbidden::QuotaExceeded", "Quota of instances exceeded")
        }
        var sshKey = JSON.null
        if let wanted = body["sshKeyId"]?.text {
            guard let key = keys.first(where: { $0.id == wanted }), key.regions.contains(region) else {
                throw Refusal(404, class: "Client::NotFound", "SSH key not found")
            }
            sshKey = key.json
        }
        let userData = body["userData"]?.text ?? ""
        guard userData.utf8.count <= 65_535 else {
            throw Refusal(400, class: "Client::BadRequest", "User data is too long")
        }
        let id = UUID().uuidString.lowercased()
        let (address, guest) = makeGuest(for: name, instance: id, userData: userData)
        let instance = Instance(
            id: id, name: name, region: region, flavor: flavor, image: image, sshKey: sshKey, userData: userData,
            address: address, created: options.now(), guest: guest, hasAddress: build != .noAddress)
        instances[id] = instance
        switch build {
        case .stuck: break
        case .error: begin(id, nil, then: "ERROR", after: options.buildTime)
        case .noAddress, nil:
            begin(id, nil, then: "ACTIVE", after: options.buildTime)
            if build == nil {
                do {
                    try await power(id, isOn: true)
                } catch {
                    instances[id] = nil
                    throw error
                }
            }
        }
        return instance.json(isDetail: true)
    }

    private func instanceRoute(_ method: String, _ parts: [String], _ body: JSON) async throws -> JSON {
        let id = parts[1]
        guard let instance = instances[id] else { throw Refusal(404, class: "Client::NotFound", "Instance not found") }
        func require(_ states: String...) throws {
            guard states.contains(instance.status), instance.next == nil else {
                throw Refusal(
                    409, class: "Client::Conflict",
                    "Cannot do that while the instance is in status \(instance.status)")
            }
        }
        switch (method, parts.count == 3 ? parts[2] : "") {
        case ("GET", ""): return instance.json(isDetail: true)
        case ("PUT", ""): return .null
        case ("DELETE", ""): begin(id, "DELETING", then: "DELETED", after: options.deleteTime)
        case ("POST", "stop"):
            try require("ACTIVE")
            try await power(id, isOn: false)
            begin(id, nil, then: "SHUTOFF", after: options.powerTime)
        case ("POST", "start"):
            try require("SHUTOFF")
            try await power(id, isOn: true)
            begin(id, nil, then: "ACTIVE", after: options.powerTime)
        case ("POST", "shelve"):
            try require("ACTIVE", "SHUTOFF")
            try await power(id, isOn: false)
            begin(id, "SHELVING", then: "SHELVED_OFFLOADED", after: options.powerTime)
        case ("POST", "unshelve"):
            try require("SHELVED", "SHELVED_OFFLOADED")
            try await power(id, isOn: true)
            begin(id, "UNSHELVING", then: "ACTIVE", after: options.powerTime)
        case ("POST", "reboot"):
            guard ["soft", "hard"].contains(body["type"]?.text) else {
                throw Refusal(400, class: "Client::BadRequest::MissingParameter", "Missing parameter: type")
            }
            try require("ACTIVE")
            try await power(id, isOn: false)
            try await power(id, isOn: true)
            begin(id, "REBOOT", then: "ACTIVE", after: options.powerTime)
        default: throw Refusal(404, code: "INVALID_URL", "Got an invalid (or empty) URL")
        }
        return .null
    }

    private func power(_ id: String, isOn: Bool) async throws {
        guard let guest = instances[id]?.guest else { return }
        guard isOn else { return await guest.stop() }
        do {
            try await guest.start()
        } catch {
            options.logger.error("instance not booted", metadata: ["error": "\(error)"])
            throw Refusal(500, class: "Server::InternalServerError", "The simulated machine does not boot: \(error)")
        }
    }
}

extension Project.Instance {
    func json(isDetail: Bool) -> JSON {
        let isReachable = hasAddress && status != "BUILD"
        var fields: [String: JSON] = [
            "id": .text(id), "name": .text(name), "status": .text(status), "region": .text(region),
            "created": .text(created.formatted(.iso8601)),
            "ipAddresses": isReachable
                ? [
                    ["ip": "2001:db8::1", "type": "public", "version": 6, "networkId": "ext", "gatewayIp": nil],
                    ["ip": .text(address), "type": "public", "version": 4, "networkId": "ext", "gatewayIp": nil],
                ] : [],
            "monthlyBilling": nil, "planCode": flavor["planCodes"]?["hourly"] ?? nil, "licensePlanCode": nil,
            "operationIds": [], "currentMonthOutgoingTraffic": nil,
        ]
        if isDetail {
            fields["flavor"] = flavor
            fields["image"] = image
            fields["sshKey"] = sshKey
            fields["rescuePassword"] = .null
            fields["availabilityZone"] = .null
        } else {
            fields["flavorId"] = flavor["id"]
            fields["imageId"] = image["id"]
            fields["sshKeyId"] = sshKey["id"]
        }
        return .object(fields)
    }
}
